/* What the theme leaves unsaid to those who do not see the page. */
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const sidebar = document.querySelector(".bd-sidebar-primary");
  if (sidebar) Object.assign(sidebar, { role: "complementary", ariaLabel: "The book" });
  for (const toggle of document.querySelectorAll(".bd-sidebar-primary summary")) toggle.ariaLabel = "Pages beneath";
  for (const parameters of document.querySelectorAll("dt.sig dl")) parameters.role = "list";
});
/* Tab goes from link to link of the text. What stands elsewhere, too, is left out: headings (the contents beside them), words
   and works (glossary and references), chapters (the list of pages), the full size of a figure (the browser's zoom), code. */
window.addEventListener("load", () => {
  const beside = ".headerlink, .glossary-word > a, .bibtex-citation a, nav.thread a, a.enlarge, button.copybtn";
  for (const each of document.querySelectorAll(beside)) each.tabIndex = -1;
});
