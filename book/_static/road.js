/* The landing page's picture: before | after by a divider, a threshold with live counts. Its data, scene.js, are made
   by book/tools/thread.py. Without scripts the still picture stays. */
"use strict";
(function () {
  const place = document.querySelector(".road");
  if (!place || !window.SCENE) return;
  const [W, H] = [256, 128];
  const base = place.dataset.base;
  const make = (tag, options = {}, parent = null) => {
    const made = Object.assign(document.createElement(tag), options);
    if (parent) parent.append(made);
    return made;
  };
  const load = (source) => new Promise((done) => {
    const image = new Image();
    image.onload = () => done(image);
    image.src = source;
  });
  /** Of a score map as a picture its numbers, 0 to 255; data addresses may be read even from a disk. */
  async function numbers(source) {
    const canvas = make("canvas", { width: W, height: H });
    const context = canvas.getContext("2d");
    context.drawImage(await load(source), 0, 0);
    return context.getImageData(0, 0, W, H).data.filter((_, i) => i % 4 === 0);
  }

  async function start() {
    const maps = {};
    for (const name of ["before", "after"]) maps[name] = await numbers(SCENE[name].map);
    place.replaceChildren();
    const stage = make("div", { className: "road-stage" }, place);
    make("img", { src: `${base}/camera.png`, alt: place.dataset.alt, width: W, height: H }, stage);
    const layers = {}, labels = []; // a label is never cut by the divider: it shows where its thing's middle does
    for (const name of ["before", "after"]) {
      layers[name] = make("div", { className: `road-layer road-${name}` }, stage);
      make("canvas", { width: W, height: H }, layers[name]);
      for (const [k, thing] of SCENE[name].things.entries()) {
        const label = make("span", { className: k % 2 ? "road-name second" : "road-name" }, stage);
        labels.push({ label, name, at: (100 * thing.x) / W });
        label.style.left = `${(100 * thing.x) / W}%`;
        label.style.top = `${(100 * thing.y) / H}%`;
        const rest = (textContent) => make("span", { className: "rest", textContent });
        label.append(...(name === "before"
          ? [`“${thing.name}”`, rest(`, ${Math.round(100 * thing.probability)} %`)]
          : [rest("uncertain: "), thing.entropy.toFixed(2)]));
      }
      make("span", { className: "road-side", textContent: name }, layers[name]);
    }
    const controls = make("div", { className: "road-controls" }, place);
    const slider = (text, min, max, value, step) => {
      const label = make("label", { textContent: text }, controls);
      return make("input", { type: "range", min, max, value, step }, label);
    };
    const divider = slider("before | after", 0, 100, 59, 1);
    const threshold = slider("call it unknown from an entropy of", 5, 95, 40, 5);
    const told = make("p", { className: "road-told" }, place);
    told.setAttribute("aria-live", "polite");

    function draw() {
      const at = Number(divider.value), percent = Number(threshold.value);
      layers.before.style.clipPath = `inset(0 ${100 - at}% 0 0)`;
      layers.after.style.clipPath = `inset(0 0 0 ${at}%)`;
      stage.style.setProperty("--at", `${at}%`);
      for (const each of labels) each.label.hidden = each.at < at !== (each.name === "before");
      const said = [];
      for (const name of ["before", "after"]) {
        const context = layers[name].firstChild.getContext("2d");
        const picture = context.createImageData(W, H);
        maps[name].forEach((score, i) => {
          const high = score >= 2.55 * percent;
          picture.data.set(high ? [255, 140, 0, 215] : [0, 0, 0, 70], 4 * i);
        });
        context.putImageData(picture, 0, 0);
        const [all, hits] = SCENE[name].segments[percent];
        const things = SCENE[name].things.length;
        said.push(`${name}: ${all} segment${all === 1 ? "" : "s"}, ${hits} on the ${things} things`);
      }
      threshold.setAttribute("aria-valuetext", `${(percent / 100).toFixed(2)}`);
      told.textContent = `From ${(percent / 100).toFixed(2)} on. ${said.join("; ")}.`;
    }
    divider.addEventListener("input", draw);
    threshold.addEventListener("input", draw);
    const move = (event) => {
      const box = stage.getBoundingClientRect();
      divider.value = (100 * (event.clientX - box.left)) / box.width;
      draw();
    };
    stage.addEventListener("click", move); // a tap; not pointerdown, with which a swipe down the page begins, too
    stage.addEventListener("pointermove", (event) => {
      if (event.buttons || event.pointerType !== "mouse") move(event);
    });
    draw();
  }
  start();
})();
