/* Every figure opens in full size, in a page of its own; on a phone its panels stand below each other.

   Where the panels lie is in a class of the picture (see `_panels_in_class` in book/tools/staged_notebook.py). Each becomes a
   window on the same file. What is still too wide to be read scrolls in its own box. */
"use strict";
(() => {
  const READABLE = 82; // pixels for an inch: letters of 8 points are then 9 pixels high
  const LARGEST = 150;

  const open = (picture) => {
    const link = document.createElement("a");
    Object.assign(link, { href: picture.src, target: "_blank", className: "enlarge", title: "Open in full size" });
    picture.replaceWith(link);
    link.append(picture);
    return link;
  };

  const panel = (picture, [left, top, right, bottom], inches) => {
    const [across, down] = [(right - left) / 1000, (bottom - top) / 1000];
    const window = document.createElement("span"), whole = document.createElement("img");
    window.className = "panel";
    window.style.aspectRatio = `${across * picture.naturalWidth} / ${down * picture.naturalHeight}`;
    window.style.minWidth = `${across * inches * READABLE}px`;
    window.style.maxWidth = `${across * inches * LARGEST}px`;
    Object.assign(whole, { src: picture.src, alt: "" });
    whole.style.width = `${100 / across}%`;
    whole.style.left = `${-left / 10 / across}%`;
    whole.style.top = `${-top / 10 / down}%`;
    window.append(whole);
    return window;
  };

  const cut = (picture, link) => {
    const found = [...picture.classList].find((name) => name.startsWith("panels-"));
    if (!found) return;
    const [tenths, ...edges] = found.split("-").slice(1).map(Number);
    const inches = tenths / 10;
    picture.style.setProperty("--readable", `${inches * READABLE}px`);
    if (edges.length === 4) return toMiddle(link);
    for (let k = 0; k < edges.length; k += 4) link.append(panel(picture, edges.slice(k, k + 4), inches));
    link.firstElementChild.nextElementSibling.lastElementChild.alt = picture.alt; // read aloud once
    link.classList.add("cut");
    toMiddle(link);
  };

  // What is wider than the screen begins in its middle, not with a margin.
  const toMiddle = (link) => requestAnimationFrame(() => {
    link.scrollLeft = (link.scrollWidth - link.clientWidth) / 2;
  });

  document.addEventListener("DOMContentLoaded", () => {
    for (const picture of document.querySelectorAll("article figure img, article .cell_output img")) {
      if (picture.closest("a, .picture-slider")) continue;
      const link = open(picture);
      const narrow = matchMedia("(max-width: 600px)");
      const once = () => narrow.matches && !link.classList.contains("cut") && picture.decode().then(() => cut(picture, link));
      once();
      narrow.addEventListener("change", once);
    }
  });
})();
