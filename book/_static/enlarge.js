/* Every figure opens in full size, in a page of its own. */
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  for (const picture of document.querySelectorAll("article figure img, article .cell_output img")) {
    if (picture.closest("a")) continue;
    const link = document.createElement("a");
    Object.assign(link, { href: picture.src, target: "_blank", className: "enlarge", title: "Open in full size" });
    picture.replaceWith(link);
    link.append(picture);
  }
});
