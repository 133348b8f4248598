// Below the figure: learning in the page, and a picture of the reader's own.
"use strict";
{
  const { WIDTH, HEIGHT } = playground;
  const SEEN_EVERY = 3; // steps: how often the network that learns looks at the reader's scene

  /** A line through values in [0, 1], as an SVG path of 100 x 40. */
  function path(values, most) {
    return values.map(([x, y], i) => `${i ? "L" : "M"}${100 * x},${40 * (1 - y / most)}`).join("");
  }

  function curve(name, make) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "-2 -2 104 44");
    svg.setAttribute("aria-hidden", "true"); // its last value is said in words
    const line = document.createElementNS(svg.namespaceURI, "path");
    line.setAttribute("style", "fill: none; stroke: currentColor; stroke-width: 1");
    svg.append(line);
    const value = make("output", {}, "–");
    const element = make("p", {}, `${name} `, value, svg);
    const points = [];
    return {
      element,
      clear: () => { points.length = 0; line.setAttribute("d", ""); },
      add: (x, y) => {
        points.push([x, y]);
        value.textContent = y.toFixed(3);
        line.setAttribute("d", path(points, Math.max(...points.map((point) => point[1]), 1e-9)));
      },
    };
  }

  /** The closed-set network learns in the page; one more map shows what it makes of the scene. */
  playground.addLearning = (figure, make) => {
    const slider = make("input", { type: "range", min: 0, max: 1, step: 0.05 });
    slider.value = 0.9;
    const lambda = make("output", {}, "0.90");
    slider.oninput = () => { lambda.textContent = Number(slider.value).toFixed(2); };
    const [begin, stop] = [make("button", {}, "Learn"), make("button", {}, "Stop")];
    const progress = make("progress", { max: 1, value: 0, "aria-label": "How much is learned" });
    const said = make("p", { role: "status" });
    const curves = { loss: curve("Loss", make), meanIoU: curve("mIoU on held-out streets", make) };
    stop.hidden = true;
    let lessons = 0;

    async function hear({ step, steps, loss, meanIoU }) {
      progress.value = step / steps;
      if (loss !== undefined) curves.loss.add(step / steps, loss);
      if (meanIoU !== null) curves.meanIoU.add(step / steps, meanIoU);
      if (step % SEEN_EVERY && step !== steps) return;
      figure.addMap("learned", "of the network that learns here");
      const found = await playground.see(figure.picture, "learned", figure.threshold);
      figure.take("learned", found, figure.picture);
    }

    async function learn() {
      [begin.disabled, stop.hidden, said.textContent] = [true, false, "Learning…"];
      Object.values(curves).forEach((each) => each.clear());
      try {
        const learnText = playground.lessonText ??= await playground.text("learn");
        const lesson = { learnText, scenesText: figure.scenes, lambda: Number(slider.value), seed: ++lessons };
        const { isStopped } = await playground.ask({ ask: "learn", ...lesson }, hear);
        said.textContent = isStopped ? "Stopped. Learn begins anew." : "Learned. Move the thing and compare.";
      } catch (error) {
        said.textContent = `It could not learn: ${error.message}.`;
      }
      [begin.disabled, stop.hidden, begin.textContent] = [false, true, "Learn anew"];
    }

    begin.onclick = learn;
    stop.onclick = () => playground.ask({ ask: "stop" });
    figure.live.append(make("section", { "aria-label": "Learn" },
      make("h2", {}, "Let it learn here"),
      make("div", { class: "playground-bar" }, begin, stop, make("label", {}, "λ ", slider, lambda), progress),
      said, curves.loss.element, curves.meanIoU.element));
  };

  /** Pixels RGBA of a picture file, the middle of it, scaled to the network's size. */
  async function readPicture(file) {
    const image = await createImageBitmap(file);
    const scale = Math.max(WIDTH / image.width, HEIGHT / image.height);
    const [width, height] = [image.width * scale, image.height * scale];
    const context = new OffscreenCanvas(WIDTH, HEIGHT).getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(image, (WIDTH - width) / 2, (HEIGHT - height) / 2, width, height);
    return context.getImageData(0, 0, WIDTH, HEIGHT).data; // the reader's own file, not the book's
  }

  /** A picture of the reader's: chosen, or dropped on the figure. */
  playground.addOwnPicture = (figure, make) => {
    const input = make("input", { type: "file", accept: "image/*" });
    async function look(file) {
      try {
        const pixels = await readPicture(file);
        const everywhere = new Uint8Array(WIDTH * HEIGHT).fill(1);
        figure.own = "Your own picture. This network knows painted streets only: on a photograph its "
          + "scores say little, and most of what it marks is no obstacle.";
        await figure.show({ pixels, region: everywhere, seen: new Uint8Array(WIDTH * HEIGHT) });
      } catch {
        figure.own = null;
        figure.words.textContent = `${file.name} could not be read as a picture; take a PNG or JPEG.`;
      }
    }
    input.onchange = () => input.files[0] && look(input.files[0]);
    figure.live.addEventListener("dragover", (event) => event.preventDefault());
    figure.live.addEventListener("drop", (event) => {
      event.preventDefault();
      if (event.dataTransfer.files[0]) look(event.dataTransfer.files[0]);
    });
    figure.live.append(make("section", { "aria-label": "Your own picture" },
      make("h2", {}, "A picture of your own"),
      make("p", {}, make("label", {}, "Choose a photograph, or drop one onto the street: ", input)),
      make("p", {}, "It stays on your machine. Expect little: the network knows painted streets only.")));
  };
}
