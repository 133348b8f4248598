// How a page looks at its present width and in its present mode: whether it is as wide as the window, whether its text
// can be read and its pictures are shown as they are. Evaluated in each page by page_looks.py.
async (theme) => {
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  for (const animation of document.getAnimations()) animation.finish();
  const root = document.documentElement;
  const article = document.querySelector("article, main");
  const problems = [];
  if (root.dataset.theme !== theme) problems.push(`is ${root.dataset.theme}, where the reader asks for ${theme}`);

  const name = (node) => node.tagName.toLowerCase() + [...node.classList].map((part) => "." + part).join("");
  if (root.scrollWidth > root.clientWidth + 1) {
    const reach = (node) => node.getBoundingClientRect().right;
    const clipped = (node) => node.parentElement && (getComputedStyle(node).overflowX !== "visible" || clipped(node.parentElement));
    const wide = [...article.querySelectorAll("*")].filter((node) => reach(node) > root.clientWidth + 1 && !clipped(node.parentElement));
    problems.push(`scrolls sideways, ${root.scrollWidth} pixels in ${root.clientWidth}: ` + wide.slice(0, 2).map(name).join(", "));
  }

  for (const picture of article.querySelectorAll("img")) {
    for (let node = picture; node; node = node.parentElement) {
      const { filter, opacity } = getComputedStyle(node);
      if (filter !== "none" || opacity !== "1") problems.push(`a picture is shown in other colours: ${picture.src}`);
    }
  }

  // What is shown is as wide, to its height, as the file; where a part is shown, the whole behind it is.
  for (const picture of root.clientWidth <= 600 ? article.querySelectorAll("img") : []) {
    const { paddingLeft, paddingRight, paddingTop, paddingBottom, borderTopWidth } = getComputedStyle(picture);
    const [across, down, border] = [[paddingLeft, paddingRight], [paddingTop, paddingBottom], [borderTopWidth, borderTopWidth]]
      .map((sides) => sides.reduce((sum, side) => sum + parseFloat(side), 0));
    const width = picture.offsetWidth - across - border, height = picture.offsetHeight - down - border;
    if (!picture.checkVisibility() || height < 20 || !picture.naturalWidth) continue;
    const ratio = (width / height) / (picture.naturalWidth / picture.naturalHeight);
    const apart = Math.abs(Math.log(ratio));
    if (apart > Math.max(0.02, 1.5 / height)) problems.push(`shows a picture ${ratio.toFixed(2)} times as wide as it is: ${picture.src.slice(0, 80)}`);
  }

  // Letters in a figure are 8 points high or more: 9 pixels, where an inch is 80.
  for (const picture of root.clientWidth <= 600 ? article.querySelectorAll("img[class*='panels-']") : []) {
    const [tenths, ...edges] = [...picture.classList].find((part) => part.startsWith("panels-")).split("-").slice(1).map(Number);
    const panels = [...picture.parentElement.querySelectorAll(".panel")];
    const shown = panels.length ? panels : [picture];
    shown.forEach((part, k) => {
      const inches = (tenths / 10) * (edges[4 * k + 2] - edges[4 * k]) / 1000;
      const width = part.getBoundingClientRect().width;
      if (width < 80 * inches) problems.push(`shows letters too small to read: ${Math.round(width)} pixels for ${inches.toFixed(1)} inches of ${picture.src}`);
    });
  }

  const link = article.querySelector("p a[href]:not(.headerlink)");
  if (link) {
    link.focus({ preventScroll: true, focusVisible: true }); // as when the keyboard was used
    const { outlineStyle, boxShadow } = getComputedStyle(link);
    if (outlineStyle === "none" && boxShadow === "none") problems.push(`does not show the focus of ${link.href}`);
    link.blur();
    scrollTo(0, 0);
  }

  // Contrast as in WCAG 2: 4.5 for text, 3 for large letters.
  const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
  const over = (front, back) => {
    const alpha = front.length > 3 ? front[3] : 1;
    return [0, 1, 2].map((i) => alpha * front[i] + (1 - alpha) * back[i]);
  };
  const behind = (node) => {
    if (!node) return theme === "dark" ? [0, 0, 0] : [255, 255, 255];
    const colour = numbers(getComputedStyle(node).backgroundColor);
    return colour.length > 3 && colour[3] === 0 ? behind(node.parentElement) : over(colour, behind(node.parentElement));
  };
  const luminance = (colour) => {
    const [r, g, b] = colour.map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const seen = new Set();
  const texts = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    const style = getComputedStyle(node);
    if (!texts.currentNode.data.trim() || !node.checkVisibility({ visibilityProperty: true })) continue;
    const back = behind(node), front = over(numbers(style.color), back);
    const large = parseFloat(style.fontSize) >= (style.fontWeight >= 700 ? 18.66 : 24);
    const kind = [front, back, large].join();
    if (seen.has(kind)) continue;
    seen.add(kind);
    const [low, high] = [luminance(front), luminance(back)].sort((a, b) => a - b);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < (large ? 3 : 4.5)) {
      const words = texts.currentNode.data.trim().slice(0, 30);
      problems.push(`has a contrast of ${contrast.toFixed(2)} in ${name(node)}, '${words}': rgb(${front.map(Math.round)}) on rgb(${back.map(Math.round)})`);
    }
  }
  return problems;
}
