/* What the theme leaves unsaid to those who do not see the page. */
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const sidebar = document.querySelector(".bd-sidebar-primary");
  if (sidebar) Object.assign(sidebar, { role: "complementary", ariaLabel: "The book" });
  for (const toggle of document.querySelectorAll(".bd-sidebar-primary summary")) toggle.ariaLabel = "Pages beneath";
  for (const parameters of document.querySelectorAll("dt.sig dl")) parameters.role = "list";
});
/* Tab goes from link to link of the text: headings are in the contents beside it, and code can be copied without a button. */
window.addEventListener("load", () => {
  for (const beside of document.querySelectorAll(".headerlink, button.copybtn")) beside.tabIndex = -1;
});
