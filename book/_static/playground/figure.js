// The playground as its reader sees it: the street, both score maps, the verdicts. Nothing here
// computes for long; the worker does, and its newest answer is drawn.
"use strict";
{
  const FARTHEST = 40; // metres
  const STEP = 2; // pixels for each arrow key, with Shift four times as many
  const NETWORKS = { after: "after entropy maximization", before: "before" };
  const { WIDTH, HEIGHT } = playground;

  const { make, canvas, choice, draw, heatMap, say, segmentTable, metricTable } = playground.drawing;

  class Figure {
    constructor(place, loaded) {
      Object.assign(this, loaded);
      this.place = place;
      this.isSmall = place.dataset.size === "small";
      this.state = { street: 0, sprite: 1, x: 140, y: 112, network: "after" };
      this.results = {};
      this.build();
    }

    build() {
      const streets = this.streets.map((_, i) => `street ${i + 1}`);
      const things = this.things.map((thing) => thing.name);
      const [street, streetSelect] = choice("Street", streets, 0);
      const [thing, thingSelect] = choice("Thing", things, 1);
      streetSelect.onchange = () => this.move({ street: Number(streetSelect.value) });
      thingSelect.onchange = () => this.move({ sprite: Number(thingSelect.value) });
      const slider = make("input", { type: "range", min: 0.05, max: 0.95, step: 0.01 });
      slider.value = this.threshold;
      this.level = make("output", {}, this.threshold.toFixed(2));
      slider.oninput = () => this.cut(Number(slider.value));
      const threshold = make("label", {}, "Threshold ", slider, this.level);
      this.scene = canvas("Street with a thing on it. Arrow keys move the thing.", {
        tabindex: 0, role: "application", "aria-roledescription": "picture with a thing to move",
      });
      this.maps = {};
      this.words = make("p", { class: "playground-words", role: "status" });
      this.pointed = make("p", { class: "playground-pointed" }, "\u00a0");
      this.table = make("table");
      this.metricsTable = make("table");
      const caption = make("figcaption", {}, "Drag the thing, or use the arrow keys.");
      this.pictures = make("div", { class: "playground-pictures" }, make("figure", {}, this.scene, caption));
      Object.entries(NETWORKS).forEach(([name, title]) => this.addMap(name, title));
      const details = make("details", {}, make("summary", {}, "The 75 metrics of the largest segment"),
        make("div", { class: "playground-scroll", tabindex: 0, role: "region", "aria-label": "Metrics" },
          this.metricsTable));
      const more = [make("div", { class: "playground-scroll" }, this.table), details];
      this.live = make("div", { class: "playground-live" },
        make("div", { class: "playground-bar" }, street, thing, threshold), this.pictures, this.pointed,
        this.words, ...(this.isSmall ? [] : more));
      this.place.append(this.live);
      this.listen();
    }

    /** A place for the score map of one more network, unless there is one. */
    addMap(network, title) {
      if (this.maps[network]) return;
      const map = this.maps[network] = canvas(`Score map ${title}`);
      const caption = make("figcaption", {}, `Entropy ${title}: dark is sure, bright is not.`);
      this.pictures.append(make("figure", {}, map, caption));
      map.addEventListener("pointermove", (event) => this.name(...this.pixelAt(map, event)));
    }

    listen() {
      const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      this.scene.onkeydown = (event) => {
        if (!steps[event.key]) return;
        event.preventDefault();
        const [dx, dy] = steps[event.key].map((d) => d * STEP * (event.shiftKey ? 4 : 1));
        this.move({ x: this.state.x + dx, y: this.state.y + dy });
      };
      let grip = null; // where the thing was taken, from its foot
      this.scene.onpointerdown = (event) => {
        const [x, y] = this.pixelAt(this.scene, event);
        if (!this.isOnThing(x, y)) return;
        grip = [this.state.x - x, this.state.y - y];
        this.scene.setPointerCapture(event.pointerId);
      };
      this.scene.onpointerup = this.scene.onpointercancel = () => { grip = null; };
      this.scene.onclick = (event) => { // anywhere else: the thing comes there
        const [x, y] = this.pixelAt(this.scene, event);
        if (!this.isOnThing(x, y)) this.move({ x, y });
      };
      this.scene.onpointermove = (event) => {
        const [x, y] = this.pixelAt(this.scene, event);
        if (grip) this.move({ x: x + grip[0], y: y + grip[1] });
        else this.name(x, y);
      };
      // A finger on the thing moves the thing; anywhere else it scrolls the page.
      this.scene.addEventListener("touchstart", (event) => {
        if (this.isOnThing(...this.pixelAt(this.scene, event.touches[0]))) event.preventDefault();
      }, { passive: false });
    }

    pixelAt(target, event) {
      const box = target.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * WIDTH;
      return [x, ((event.clientY - box.top) / box.height) * HEIGHT];
    }

    isOnThing(x, y) {
      const near = 4; // pixels around it, for fingers
      const { seen } = this.picture ?? {};
      for (let row = Math.floor(y) - near; row <= y + near; row++) {
        for (let column = Math.floor(x) - near; column <= x + near; column++) {
          const inside = column >= 0 && column < WIDTH && row >= 0 && row < HEIGHT;
          if (inside && seen?.[row * WIDTH + column]) return true;
        }
      }
      return false;
    }

    /** Say which classes the networks see at a pixel. */
    name(x, y) {
      const pixel = Math.floor(y) * WIDTH + Math.floor(x);
      const known = Object.keys(this.results).filter((name) => this.results[name].best[pixel] !== undefined);
      const said = known.reverse().map((name) => {
        const { best, score } = this.results[name];
        return `${name}: ${this.classes[best[pixel]]}, entropy ${score[pixel].toFixed(2)}`;
      });
      this.pointed.textContent = said.length ? `Under the pointer ${said.join("; ")}` : "\u00a0";
    }

    /** The thing somewhere else, or another thing or street: drawn at once, computed when there is time. */
    move(change) {
      Object.assign(this.state, change);
      const { state } = this;
      const street = this.streets[state.street];
      const highest = Math.ceil(street.horizon + (street.focal * street.eye) / FARTHEST);
      state.x = Math.min(Math.max(state.x, 0), WIDTH - 1);
      state.y = Math.min(Math.max(state.y, highest), HEIGHT - 1);
      this.own = null;
      if (this.painting) return;
      this.painting = requestAnimationFrame(() => {
        this.painting = null;
        const { sprite, x, y } = this.state;
        const place = [this.things[sprite], this.shade, x, y];
        this.show(playground.paint(this.streets[this.state.street], ...place));
      });
    }

    show(picture) {
      this.picture = picture;
      draw(this.scene, picture.pixels);
      this.wanted = picture;
      return this.compute();
    }

    /** Let both networks see the newest picture; those that came in between are never computed. */
    async compute() {
      if (this.isBusy) return;
      this.isBusy = true;
      while (this.wanted) {
        const picture = this.wanted;
        this.wanted = null;
        for (const network of Object.keys(this.maps)) {
          this.take(network, await playground.see(picture, network, this.threshold), picture);
        }
      }
      this.isBusy = false;
      this.speak();
    }

    take(network, found, picture) {
      this.results[network] = { ...this.results[network], ...found };
      draw(this.maps[network], heatMap(this.results[network].score, this.heat), this.results[network]);
      if (network !== "after") return;
      if (picture === this.picture) draw(this.scene, picture.pixels, this.results.after);
      const { rows, largest } = segmentTable(this.results.after);
      this.table.replaceChildren(make("caption", {}, "The largest segments after entropy maximization"), ...rows);
      this.metricsTable.replaceChildren(...metricTable(this.metrics, this.results.after.metrics[largest]));
    }

    async cut(threshold) {
      this.threshold = threshold;
      this.level.textContent = threshold.toFixed(2);
      for (const network of Object.keys(this.results)) {
        this.take(network, await playground.ask({ ask: "cut", network, threshold }), this.picture);
      }
      this.speak();
    }

    /** Read the state aloud, once things have come to rest. */
    speak() {
      clearTimeout(this.speaking);
      this.speaking = setTimeout(() => {
        const thing = this.things[this.state.sprite];
        this.words.textContent = this.own ?? say({ ...this, thing });
      }, 150);
    }
  }

  /** Build the playground in its place; the promise is of the first answer. */
  playground.fill = async (place) => {
    const figure = new Figure(place, await playground.ready());
    const { streets, things, shade, state } = figure;
    await figure.show(playground.paint(streets[state.street], things[state.sprite], shade, state.x, state.y));
    if (!figure.isSmall) playground.addLearning(figure, make);
    if (!figure.isSmall) playground.addOwnPicture(figure, make);
    return figure;
  };
}
