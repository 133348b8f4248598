/* The search of the book: sections and words of the glossary, the best first, each with the passage where the words stand.
   `section_search.py` writes the texts; on the page of results this takes the place of Sphinx's own search. */
"use strict";
(() => {
  const MOST = 40; // results
  const AROUND = 90; // letters before and after the first word found
  const LIBRARY = 0.5; // the weight of the library's pages: who asks for a name of the code writes it in full
  const DEFINED = 6; // more, for a word that the glossary defines
  const plain = (text) => text.toLowerCase().normalize("NFKD").replace(/\p{M}/gu, "");
  const begins = (word) => new RegExp(`(?<![\\p{L}\\p{N}])${word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}`, "giu");
  const count = (text, word) => (plain(text).match(begins(word)) ?? []).length;

  // Every word must stand in the title, of section or page, or in the text; many in a short text count more than in a long one.
  const worth = (place, words) => {
    let sum = 0;
    for (const word of words) {
      const inTitle = count(place.title, word), inPage = count(place.of, word), inText = count(place.text, word);
      if (!inTitle && !inPage && !inText) return 0;
      sum += 6 * Math.min(inTitle, 1) + 2 * Math.min(inPage, 1) + (4 * inText) / (8 + place.text.length / 200 + inText);
    }
    if (plain(place.title) === words.join(" ")) sum += 10;
    if (place.page.startsWith("book/library/")) return LIBRARY * sum;
    const defined = place.page.startsWith("book/glossary") && words.every((word) => count(place.title, word));
    return defined ? sum + DEFINED : sum;
  };

  const passage = (text, words) => {
    const found = words.map((word) => plain(text).search(begins(word))).filter((at) => at >= 0);
    const at = Math.max(0, Math.min(...(found.length ? found : [0])) - AROUND);
    const part = text.slice(at, at + 2.5 * AROUND);
    return (at ? "… " : "") + part + (at + part.length < text.length ? " …" : "");
  };

  const marked = (text, words) => {
    const line = document.createElement("p");
    const any = new RegExp(words.map((word) => begins(word).source).join("|"), "giu");
    let last = 0;
    for (const match of text.matchAll(any)) {
      const mark = document.createElement("mark");
      mark.textContent = match[0];
      line.append(text.slice(last, match.index), mark);
      last = match.index + match[0].length;
    }
    line.append(text.slice(last));
    return line;
  };

  const show = (query) => {
    const words = plain(query).split(/\s+/).filter(Boolean);
    const found = SECTIONS.map((place) => ({ place, worth: worth(place, words) }))
      .filter((each) => each.worth > 0)
      .sort((a, b) => b.worth - a.worth);
    const results = document.getElementById("search-results");
    const title = document.createElement("h2"), told = document.createElement("p"), list = document.createElement("ol");
    title.textContent = "Search results";
    told.setAttribute("role", "status");
    const more = found.length > MOST ? `, the first ${MOST} of them` : "";
    told.textContent = found.length ? `${found.length} places${more}` : `Nothing has all of these words: ${query}`;
    list.className = "search-places";
    for (const { place } of found.slice(0, MOST)) {
      const row = document.createElement("li"), link = document.createElement("a");
      link.href = `${DOCUMENTATION_OPTIONS.URL_ROOT ?? document.documentElement.dataset.content_root ?? ""}${place.page}#${place.anchor}`;
      link.textContent = place.title === place.of ? place.title : `${place.of} › ${place.title}`;
      row.append(link, marked(passage(place.text, words), words));
      list.append(row);
    }
    results.replaceChildren(title, told, list);
  };

  document.addEventListener("DOMContentLoaded", () => {
    if (!document.getElementById("search-results") || typeof Search === "undefined") return;
    Search.performSearch = (query) => {
      const texts = document.createElement("script");
      texts.src = "_static/sections.js";
      texts.onload = () => show(query);
      document.head.append(texts);
    };
  });
})();
