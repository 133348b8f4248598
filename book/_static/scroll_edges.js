/* What scrolls sideways by itself fades where it goes on: classes on it say where, book.css draws them. */
"use strict";
(() => {
  const WIDE = "a.enlarge, div.math, mjx-container[display='true'], .cell_output, .text_html, .pst-scrollable-table-container," +
    " dl.py table, .chapter-map-room, .pictures > div";
  const mark = (box) => {
    const scrolls = box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).overflowX === "auto";
    box.classList.toggle("more-left", scrolls && box.scrollLeft > 2);
    box.classList.toggle("more-right", scrolls && box.scrollLeft + box.clientWidth < box.scrollWidth - 2);
  };
  const markAll = () => document.querySelectorAll(`article :is(${WIDE})`).forEach(mark);

  window.addEventListener("load", () => {
    const changed = new ResizeObserver(markAll);
    changed.observe(document.querySelector("article") ?? document.body);
    document.addEventListener("scroll", ({ target }) => target.matches?.(WIDE) && mark(target), { capture: true, passive: true });
    window.MathJax?.startup?.promise?.then(markAll);
  });
})();
