// The playground's entry: the only script that a page with a playground loads by itself. All else
// comes with the first touch, or when a test calls playground.run.
"use strict";
globalThis.playground ??= {};
{
  const folder = document.currentScript.src.replace(/[^/]*$/, "");
  const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0,
    253, 15, 253, 98, 11]; // the smallest module that needs WebAssembly's SIMD
  const packs = {}; // what waits for a pack, by the pack's name
  const answers = new Map(); // what waits for the worker, by the message's number
  let worker, starting, messages = 0;

  /** The scripts that hold packs call this. */
  playground.receive = (name, key, text) => packs[name](text);

  /** Run a script of the playground's folder. */
  function load(name) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = folder + name;
      script.onload = resolve;
      script.onerror = () => reject(new Error("it was left out when this book was built"));
      document.head.append(script);
    });
  }

  /** The text of a pack. */
  async function text(name) {
    let found;
    packs[name] = (given) => { found = given; };
    await load(`${name}.js`);
    return found;
  }

  /** Ask the worker; the promise is of its answer. `onnews` is called with what it says meanwhile. */
  function ask(message, onnews) {
    const id = ++messages;
    return new Promise((resolve, reject) => {
      answers.set(id, { resolve, reject, onnews });
      worker.postMessage({ ...message, id });
    });
  }

  function hear({ data }) {
    const waiting = answers.get(data.id);
    if (data.news) return waiting.onnews(data.news);
    answers.delete(data.id);
    if (data.error) waiting.reject(new Error(data.error));
    else waiting.resolve(data);
  }

  async function start() {
    if (!globalThis.DecompressionStream || !globalThis.Worker) throw new Error("this browser is too old");
    if (!globalThis.WebAssembly?.validate(new Uint8Array(SIMD))) {
      throw new Error("this browser has no WebAssembly with SIMD");
    }
    const [runtime, scenes, network] = await Promise.all([
      text("runtime"), text("scenes"), text("network"), load("pack.js"), load("street.js"),
    ]);
    const { code, wasm } = await playground.open(runtime);
    // A worker from a blob, since none may be loaded from a disk.
    worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
    worker.onmessage = hear;
    const [pack, about] = await Promise.all([
      playground.open(scenes), ask({ ask: "load", wasm, text: network }),
    ]);
    return { ...readScenes(pack), ...about, scenes };
  }

  function readScenes(pack) {
    const streets = pack.about.streets.map((street, i) => ({
      ...street, seed: i, picture: pack[`street${i}.picture`], foot: pack[`street${i}.foot`],
      labels: pack[`street${i}.labels`],
    }));
    const things = pack.about.things.map((thing, i) => playground.readThing(
      pack[`thing${i}.rgba`], pack[`thing${i}.mask`], pack.shapes[`thing${i}.mask`], thing,
    ));
    return { streets, things, shade: pack.shade, heat: pack.heat, classes: pack.about.classes };
  }

  /** Streets, things and what else the playground shows, once it has been loaded. */
  function ready() {
    return starting ??= start();
  }

  /** The picture of a thing that stands on the pixel (x, y) of a street. */
  async function compose({ street, sprite, x, y }) {
    const { streets, things, shade } = await ready();
    for (const [name, value, list] of [["street", street, streets], ["sprite", sprite, things]]) {
      if (!list[value]) throw new RangeError(`${name} is ${value}; take 0 to ${list.length - 1}`);
    }
    return playground.paint(streets[street], things[sprite], shade, x, y);
  }

  /** What a network makes of a composed picture. */
  function see({ pixels, region }, network, threshold) {
    return ask({ ask: "see", pixels, region, network, threshold });
  }

  /** For tests: the picture's bytes RGBA, the score, the segments' numbers, p^FP by classifier. */
  async function run({ street, sprite, x, y, network, threshold }) {
    const picture = await compose({ street, sprite, x, y });
    return { ...picture, ...await see(picture, network, threshold) };
  }

  /** Show the playground in its place on the page, or say why it cannot be. */
  async function show(place, button) {
    button.disabled = true;
    button.textContent = "Loading…";
    try {
      await ready();
      for (const name of ["draw.js", "figure.js", "learn-panel.js"]) await load(name);
      await playground.fill(place);
      place.classList.add("is-live");
      button.remove();
    } catch (error) {
      button.remove();
      const why = document.createElement("p");
      why.setAttribute("role", "status");
      why.textContent = `The playground cannot run here: ${error.message}. The picture shows what it does.`;
      place.append(why);
    }
  }

  /** A button above each still picture; or, on pages that say so, the first touch of the picture. */
  function offer() {
    for (const place of document.querySelectorAll(".playground")) {
      const button = document.createElement("button");
      button.textContent = "Play: put a thing onto the road";
      button.onclick = () => show(place, button);
      place.querySelector("img")?.addEventListener("click", () => button.click());
      place.prepend(button);
    }
  }

  Object.assign(playground, { run, ready, ask, compose, see, text });
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", offer);
  else offer();
}
