// How long a page is, where its first picture stands, and what is cut off on the right. Evaluated by page_looks.py.
() => {
  const article = document.querySelector("article.bd-article");
  const first = [...article.querySelectorAll("figure :is(img, svg), .cell_output :is(img, svg)")].find((picture) => picture.checkVisibility());
  const cut = [...article.querySelectorAll("pre, .cell_output, table")]
    .filter((node) => node.checkVisibility() && node.scrollWidth > node.clientWidth + 1)
    .map((node) => node.textContent.trim().slice(0, 40).replace(/\s+/g, " "));
  const stops = [...article.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")]
    .filter((node) => node.checkVisibility() && node.tabIndex >= 0)
    .filter((node) => node.type !== "radio" || node.matches(":first-child > *, label:first-of-type input")); // a group is one stop
  return {
    height: document.documentElement.scrollHeight,
    first: first ? first.getBoundingClientRect().top + scrollY : Infinity,
    cut,
    stops: stops.length,
  };
}
