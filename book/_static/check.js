/* Exercises that check themselves: the fingerprints, mistakes and sentences of `ood_lib/exercises.py`, of which a test
   sees that they are the same. The forms and their data are made by book/tools/check_form.py; without scripts they stay
   hidden, and the question stands alone. */
"use strict";
(function () {
  const FAR = 1e15;
  const LETTERS = "abcdef";
  const POINT = "A comma parts numbers: write 0.5 and 1000, not 0,5 and 1,000.";

  function fingerprint(exercise, text) {
    let value = 0xcbf29ce484222325n;
    for (const byte of new TextEncoder().encode(`${text}:${exercise}`)) {
      value = BigInt.asUintN(64, (value ^ BigInt(byte)) * 0x100000001b3n);
    }
    return (value >> 16n).toString(16).padStart(12, "0");
  }

  const cellOf = (value, step) => BigInt(Math.floor(Math.max(-FAR, Math.min(FAR, value)) / step + 0.5));
  const marksOf = (exercise, task, values) => values.map((x) => fingerprint(exercise, cellOf(x, task.step)));
  const fits = (marks, slots) => marks.every((mark, i) => slots[i].includes(mark));
  const bytesOf = (hex) => hex.match(/../g).map((pair) => parseInt(pair, 16));

  function uncover(exercise, first, hex) {
    const text = bytesOf(hex);
    const blocks = [...Array(Math.ceil(text.length / 6)).keys()];
    const key = bytesOf(blocks.map((block) => fingerprint(exercise, `key ${block} ${first.join()}`)).join(""));
    return new TextDecoder().decode(Uint8Array.from(text, (byte, i) => byte ^ key[i]));
  }

  function form(task) {
    if (task.kind === "choice") return `a letter, "a" to "${LETTERS[task.count - 1]}"`;
    const numbers = Array.from({ length: task.count }, (_, i) => i + 1).join(", ");
    return task.count === 1 ? "a number, such as 0.5" : `${task.count} numbers, such as [${numbers}]`;
  }

  /** What was typed as numbers, a letter as its place; null where another form is asked for. */
  function read(task, typed) {
    if (task.kind === "choice") {
      const letter = typed.replace(/^[ ().]+|[ ().]+$/g, "").toLowerCase();
      const place = letter.length === 1 ? LETTERS.indexOf(letter) : -1;
      return place >= 0 && place < task.count ? [place] : null;
    }
    if (/;.*\d,\d|\d,\d.*;/.test(typed)) return null; // a decimal comma
    const parts = typed.replace(/[[\]()]/g, " ").replace(/[−–]/g, "-").split(/[\s,;]+/).filter(Boolean);
    const isNumber = (part) => /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(part) && Number.isFinite(Number(part));
    return parts.length === task.count && parts.every(isNumber) ? parts.map(Number) : null;
  }

  /** What would be meant, had one of the frequent mistakes been made, and what that mistake is. */
  function* undone(values) {
    const areShares = values.every((x) => 0 <= x && x <= 1);
    const apply = (change) => values.map(change);
    if (values.every((x) => 0 <= x && x <= 100)) {
      yield [apply((x) => x / 100), "That is a percentage; a share from 0 to 1 is asked."];
    }
    if (areShares) yield [apply((x) => x * 100), "That is a share from 0 to 1; a percentage is asked."];
    if (areShares && values.some((x) => 0 < x && x < 1)) {
      yield [apply((x) => 1 - x), "That is 1 minus what is asked: the share of the others."];
    }
    yield [apply((x) => -x), "The size is right, the sign is not."];
    if (values.every((x) => x !== 0)) yield [apply((x) => 1 / x), "That is 1 divided by what is asked; turn it over."];
    for (const factor of [Math.LN2, 1 / Math.LN2, Math.LN10, 1 / Math.LN10]) {
      yield [apply((x) => x * factor), "That is right with a logarithm of another base."];
    }
  }

  function guess(exercise, task, values) {
    for (const [meant, hint] of undone(values)) {
      if (fits(marksOf(exercise, task, meant), task.right)) return hint;
    }
    const marks = marksOf(exercise, task, values);
    const left = [...marks];
    for (const slot of task.right) {
      const found = left.findIndex((mark) => slot.includes(mark));
      if (found >= 0) left.splice(found, 1);
    }
    if (!left.length) return "These are the right numbers in another order.";
    const right = marks.filter((mark, i) => task.right[i].includes(mark)).length;
    if (right) return `Right so far: ${right} of ${marks.length}.`;
    return `The form is right, the ${task.count === 1 ? "number is" : "numbers are"} not. Asked for: ${task.ask}`;
  }

  function verdict(exercise, task, typed) {
    const asked = `Exercise ${exercise} asks for ${form(task)}: ${task.ask}`;
    const values = read(task, typed);
    if (!values) return /\d,\d/.test(typed) ? `${asked} ${POINT}` : asked;
    const marks = marksOf(exercise, task, values);
    if (fits(marks, task.right)) {
      const first = values.map((x, i) => cellOf(x, task.step) - BigInt(task.right[i].indexOf(marks[i])));
      return `Right. ${uncover(exercise, first, task.because)}`;
    }
    const known = task.wrong.find(([, slots]) => fits(marks, slots));
    return `Not yet. ${known ? known[0] : guess(exercise, task, values)}`;
  }

  /** The options stand as a list above the form: its words, which may hold formulas, become the buttons' labels. */
  function takeOptions(place) {
    const list = place.previousElementSibling;
    const labels = [...place.querySelectorAll("label > span")];
    const items = list && list.matches("ul") ? [...list.children] : [];
    const isOption = (item, i) => item.textContent.trim().startsWith(`(${LETTERS[i]})`);
    if (!labels.length || items.length !== labels.length || !items.every(isOption)) return;
    items.forEach((item, i) => labels[i].replaceChildren(...(item.querySelector("p") || item).childNodes));
    place.querySelector("legend").className = "known"; // the question stands above as well
    list.remove();
  }

  function start() {
    for (const place of document.querySelectorAll("form.check")) {
      const { exercise, task } = JSON.parse(place.querySelector("script").textContent);
      const told = place.querySelector("output");
      takeOptions(place);
      place.hidden = false;
      place.addEventListener("submit", (event) => {
        event.preventDefault();
        told.textContent = verdict(exercise, task, new FormData(place).get("answer") || "");
        told.className = told.textContent.startsWith("Right.") ? "right" : "";
      });
      place.addEventListener("input", () => { told.textContent = ""; });
    }
  }

  window.exerciseVerdict = verdict; // for the test
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
