// What a page shows: formulas, pictures, anchors and links. Evaluated in each page by page_contents.py.
async () => {
  if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
  await document.fonts.ready;
  for (const image of document.images) image.loading = "eager";
  await Promise.all([...document.images].map((image) => image.decode().catch(() => null)));
  const article = document.querySelector("article") || document.body;
  const text = article.cloneNode(true);
  text.querySelectorAll("pre, code, mjx-container, script, style").forEach((node) => node.remove());
  const problems = [];
  for (const [what, pattern] of [
    ["a formula shows as text", /\\\(|\\\[|\$\$|\\(?:frac|sum|mathbf|mathcal)\b/],
    ["Markdown shows as text", /\[@\w|\{(?:cite|numref|eq)(?::p)?\}|^:{3,}|\]\(#/m],
  ]) {
    const found = text.textContent.match(pattern);
    if (found) problems.push(what + ": " + text.textContent.substr(found.index, 60).replace(/\s+/g, " "));
  }
  const formulas = [...article.querySelectorAll(".math")];
  const unrendered = formulas.filter((node) => !node.querySelector("mjx-container")).length;
  if (unrendered) problems.push(`${unrendered} of ${formulas.length} formulas are not rendered`);
  for (const node of article.querySelectorAll("mjx-merror")) {
    problems.push("a formula fails: " + (node.getAttribute("data-mjx-error") || node.textContent));
  }
  const images = [...document.images];
  for (const image of images) {
    if (!image.naturalWidth) problems.push("a picture does not load: " + image.src);
    if (!image.alt.trim()) problems.push("a picture has no alternative text: " + image.src);
  }
  for (const word of document.querySelectorAll(".glossary-word")) {
    if (!word.checkVisibility({ visibilityProperty: true })) continue; // in a folded solution
    word.firstElementChild.focus({ preventScroll: true });
    const { left, right, width } = word.lastElementChild.getBoundingClientRect();
    if (!width) problems.push("a word of the glossary does not show its definition: " + word.textContent);
    if (left < 0 || right > innerWidth) problems.push("a definition is cut off: " + word.textContent);
  }
  if (document.activeElement) document.activeElement.blur();
  if (document.querySelector(".glossary-word.shown")) problems.push("a definition stays when the focus has left it");
  return {
    problems,
    images: images.length,
    formulas: formulas.length,
    anchors: [...document.querySelectorAll("[id], a[name]")].map((node) => node.id || node.name),
    links: [...document.querySelectorAll("a[href]")].map((link) => link.href),
  };
}
