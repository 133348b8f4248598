/* What the theme leaves unsaid to those who do not see the page. */
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const sidebar = document.querySelector(".bd-sidebar-primary");
  if (sidebar) Object.assign(sidebar, { role: "complementary", ariaLabel: "The book" });
  for (const toggle of document.querySelectorAll(".bd-sidebar-primary summary")) toggle.ariaLabel = "Pages beneath";
  // A signature's parameters are a list of definitions without terms, and the bibliography one of entries: neither is allowed.
  for (const part of document.querySelectorAll("dt.sig dl, dt.sig dl > dd")) {
    const plain = document.createElement("div");
    plain.className = part.tagName === "DL" ? "" : "parameter";
    plain.append(...part.childNodes);
    part.replaceWith(plain);
  }
  for (const work of document.querySelectorAll("[role='doc-biblioentry']")) work.role = "listitem";
  for (const head of document.querySelectorAll("article th:has(.math)")) head.ariaLabel = head.textContent.replace(/\\[()]/g, "");
  for (const corner of document.querySelectorAll("article th"))
    if (!corner.textContent.trim()) corner.replaceWith(document.createElement("td"));
});
/* Tab goes from link to link of the text. What stands elsewhere, too, is left out: headings (the contents beside them), words
   and works (glossary and references), chapters (the list of pages), the full size of a figure (the browser's zoom), code. */
window.addEventListener("load", () => {
  const beside = ".headerlink, .glossary-word > a, .bibtex-citation a, nav.thread a, a.enlarge, button.copybtn";
  for (const each of document.querySelectorAll(beside)) each.tabIndex = -1;
  // What scrolls by itself can be scrolled with the keyboard, too.
  window.MathJax?.startup?.promise?.then(() => {
    for (const formula of document.querySelectorAll("div.math, mjx-container[display='true']"))
      if (formula.scrollWidth > formula.clientWidth + 1) formula.tabIndex = 0;
  });
});
