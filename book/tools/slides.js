// Slides one at a time: keys, a click or a swipe move, the address says where, "o" shows all. Without this script they
// stand below one another, and they do so on paper.
"use strict";
(async () => {
  await MathJax.startup.promise; // formulas are measured while they are seen
  const slides = [...document.querySelectorAll(".slide")];
  for (const { firstElementChild: box } of slides) {
    const parts = [box, box.lastElementChild];
    const full = () => parts.some((part) => part.scrollHeight > part.clientHeight || part.scrollWidth > part.clientWidth);
    for (let fit = 1; full() && fit > 0.5; fit -= 0.04) box.style.setProperty("--fit", fit); // long texts are smaller
  }
  const { classList } = document.body;
  let here = 0;

  const show = () => {
    here = Math.max(0, slides.findIndex((slide) => `#${slide.id}` === location.hash));
    slides.forEach((slide, number) => slide.classList.toggle("here", number === here));
    if (classList.contains("all")) slides[here].scrollIntoView({ block: "center" });
  };
  const go = (number) => {
    location.replace(`#${slides[Math.min(Math.max(number, 0), slides.length - 1)].id}`);
    show();
  };
  const toggle = () => {
    classList.toggle("all");
    classList.toggle("one");
    show();
  };

  const chapter = (slide) => slide.id.split("-")[0];
  const starts = slides.map((_, n) => n).filter((n) => !n || chapter(slides[n]) !== chapter(slides[n - 1]));
  const keys = {
    ArrowRight: () => go(here + 1), PageDown: () => go(here + 1), " ": () => go(here + 1),
    ArrowLeft: () => go(here - 1), PageUp: () => go(here - 1),
    ArrowDown: () => go(starts.find((n) => n > here) ?? here), ArrowUp: () => go(starts.findLast((n) => n < here) ?? 0),
    Home: () => go(0), End: () => go(slides.length - 1),
    o: toggle, Escape: toggle, f: () => document.documentElement.requestFullscreen(),
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });

  addEventListener("click", (event) => {
    if (event.target.closest("a")) return;
    if (classList.contains("one")) return go(event.clientX < innerWidth / 4 ? here - 1 : here + 1);
    const chosen = event.target.closest(".slide");
    if (chosen) {
      location.replace(`#${chosen.id}`);
      toggle();
    }
  });
  let start = null;
  addEventListener("touchstart", (event) => { start = event.changedTouches[0].clientX; });
  addEventListener("touchend", (event) => {
    const way = event.changedTouches[0].clientX - start;
    if (classList.contains("one") && Math.abs(way) > 50) go(here - Math.sign(way));
  });

  addEventListener("hashchange", show);
  classList.add("one");
  show();
})();
