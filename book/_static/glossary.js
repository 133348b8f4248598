// A word of the glossary shows its definition: under the mouse, with the keyboard's focus, and at a tap. Escape closes
// it. A second tap follows the link, as a click does.
{
  let shown = null;
  let firstTap = false;

  const wordOf = (event) => (event.target instanceof Element ? event.target.closest(".glossary-word") : null);

  const hide = () => {
    if (shown) shown.classList.remove("shown");
    shown = null;
  };

  // Beside the word's first line, within the window; fixed, so that no box that scrolls by itself can cut it off.
  const place = () => {
    if (!shown) return;
    const tip = shown.lastElementChild;
    const line = shown.firstElementChild.getClientRects()[0];
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    tip.style.left = `${Math.max(8, Math.min(line.left, room))}px`;
    const below = line.bottom + tip.offsetHeight < window.innerHeight;
    tip.style.top = `${below ? line.bottom : line.top - tip.offsetHeight}px`;
  };

  const show = (word) => {
    hide();
    shown = word;
    word.classList.add("shown");
    place();
  };

  const unlessInside = (event) => {
    if (shown && !shown.contains(event.relatedTarget)) hide();
  };

  document.addEventListener("pointerover", (event) => {
    const word = event.pointerType === "mouse" ? wordOf(event) : null;
    if (word && word !== shown) show(word);
  });
  document.addEventListener("pointerout", (event) => event.pointerType === "mouse" && unlessInside(event));
  document.addEventListener("focusin", (event) => wordOf(event) && show(wordOf(event)));
  document.addEventListener("focusout", unlessInside);
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  document.addEventListener("scroll", place, { capture: true, passive: true });
  document.addEventListener("pointerdown", (event) => {
    const word = wordOf(event);
    firstTap = event.pointerType !== "mouse" && word !== null && word !== shown;
    if (!word) hide();
  });
  document.addEventListener("click", (event) => {
    const word = wordOf(event);
    if (!word || !firstTap) return;
    event.preventDefault();
    show(word);
  });
}
