// The painter in the page: a thing is put into a street as ood_lib/miniature/canvas.py does it, and
// the sensor then does what develop() in ood_lib/miniature/painter.py does.
"use strict";
globalThis.playground ??= {};
{
  const FINE = 2; // things are drawn at twice the size and reduced, for smooth edges
  const AIR = [0.8, 0.84, 0.88]; // the colour of haze
  const [WIDTH, HEIGHT] = [256, 128];
  const ROAD = 0; // its class

  /** Random numbers in [0, 1) from a seed (mulberry32), the same in every browser. */
  function generator(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), state | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
    };
  }

  /** Normal random numbers (Box and Muller), float32. */
  function normal(count, seed) {
    const draw = generator(seed);
    const numbers = new Float32Array(count + 1);
    for (let i = 0; i < count; i += 2) {
      const radius = Math.sqrt(-2 * Math.log(1 - draw()));
      const angle = 2 * Math.PI * draw();
      numbers[i] = radius * Math.cos(angle);
      numbers[i + 1] = radius * Math.sin(angle);
    }
    return numbers.subarray(0, count);
  }

  /** For each pixel of a picture that is resized: the first source pixel and the weights from there
   *  on; bilinear over as many source pixels as one covers, as Pillow has it. */
  function filter(from, to) {
    const scale = from / to;
    const support = Math.max(scale, 1);
    return Array.from({ length: to }, (_, i) => {
      const centre = (i + 0.5) * scale;
      const first = Math.max(0, Math.floor(centre - support + 0.5));
      const stop = Math.min(from, Math.floor(centre + support + 0.5));
      const weights = [];
      for (let x = first; x < stop; x++) {
        weights.push(Math.max(0, 1 - Math.abs(x - centre + 0.5) / support));
      }
      const sum = weights.reduce((a, b) => a + b, 0);
      return { first, weights: weights.map((weight) => weight / sum) };
    });
  }

  /** Resize `source`, float (height, width, channels), to another size: columns first, then rows. */
  function resize(source, [width, height], [toWidth, toHeight], channels) {
    const narrow = new Float32Array(height * toWidth * channels);
    filter(width, toWidth).forEach(({ first, weights }, column) => {
      for (let row = 0; row < height; row++) {
        for (let k = 0; k < weights.length; k++) {
          const at = (row * width + first + k) * channels;
          const to = (row * toWidth + column) * channels;
          for (let c = 0; c < channels; c++) narrow[to + c] += weights[k] * source[at + c];
        }
      }
    });
    const result = new Float32Array(toHeight * toWidth * channels);
    const length = toWidth * channels;
    filter(height, toHeight).forEach(({ first, weights }, row) => {
      for (let k = 0; k < weights.length; k++) {
        const at = (first + k) * length;
        for (let i = 0; i < length; i++) result[row * length + i] += weights[k] * narrow[at + i];
      }
    });
    return result;
  }

  /** A thing from its pack: red, green and blue times opacity, opacity, mask; float in [0, 1]. */
  function readThing(rgba, mask, [height, width], about) {
    const pixels = new Float32Array(height * width * 5);
    for (let i = 0; i < mask.length; i++) {
      const alpha = rgba[4 * i + 3] / 255;
      for (let c = 0; c < 3; c++) pixels[5 * i + c] = (rgba[4 * i + c] / 255) * alpha;
      pixels[5 * i + 3] = alpha;
      pixels[5 * i + 4] = mask[i];
    }
    return { ...about, pixels, size: [width, height], aspect: width / height };
  }

  /** How many metres away the ground under row y is. */
  function metres(street, y) {
    return (street.focal * street.eye) / (y - street.horizon);
  }

  /** Where the thing lies on the fine canvas when it stands on the pixel (x, y). */
  function place(street, thing, x, y) {
    const height = (thing.height * street.focal * FINE) / metres(street, y);
    const width = height * thing.aspect;
    const size = [Math.max(Math.round(width), 2), Math.max(Math.round(height), 2)];
    const [left, top] = [Math.round(FINE * x - width / 2), Math.round(FINE * y - height)];
    const half = 0.58 * width; // of the shadow, which is flat, and not too long close by
    const flat = Math.min(Math.max(0.22 * half, 1), HEIGHT * FINE * 0.05);
    return { size, left, top, half, flat, foot: FINE * y, middle: FINE * x };
  }

  /** How much darker the shadow makes the fine pixel: 0 where there is none. */
  function darkness(at, row, column) {
    const [v, u] = [(row + 0.5 - at.foot) / at.flat, (column + 0.5 - at.middle) / at.half];
    return 0.5 * Math.min(Math.max(1.25 * (1 - v * v - u * u), 0), 1);
  }

  /** The street with the thing in it, before the sensor: colours float (H, W, 3), and where the
   *  thing is seen, uint8 (H, W). */
  function put(street, thing, shade, x, y) {
    const colours = Float32Array.from(street.picture, (value) => value / 255);
    const seen = new Uint8Array(WIDTH * HEIGHT);
    const at = place(street, thing, x, y);
    const [width, height] = at.size;
    const drawn = resize(thing.pixels, thing.size, at.size, 5);
    const air = 1 - Math.exp(-metres(street, y) / street.haze);
    const reach = Math.max(at.half, width / 2) + 1;
    const rows = [Math.min(at.top, at.foot - at.flat), Math.max(at.foot + at.flat, at.top + height)];
    const clip = (value, most) => Math.min(Math.max(Math.floor(value), 0), most);
    for (let row = clip(rows[0] / FINE, HEIGHT); row < clip(rows[1] / FINE + 1, HEIGHT); row++) {
      const last = clip((at.middle + reach) / FINE + 1, WIDTH);
      for (let column = clip((at.middle - reach) / FINE, WIDTH); column < last; column++) {
        const pixel = row * WIDTH + column;
        // What stands nearer hides the thing; the ground, seen in its own row, only has its shadow.
        if (street.foot[pixel] > Math.max(y, row + 1) + 0.5) continue;
        let kept = 0; // of the street's light
        const added = [0, 0, 0];
        for (let i = 0; i < FINE * FINE; i++) {
          const [v, u] = [row * FINE + (i >> 1), column * FINE + (i & 1)];
          const dark = darkness(at, v, u);
          const [j, k] = [v - at.top, u - at.left];
          const inside = j >= 0 && j < height && k >= 0 && k < width;
          const from = 5 * (j * width + k);
          const alpha = inside ? drawn[from + 3] : 0;
          kept += (1 - dark) * (1 - alpha);
          const light = inside ? shading(shade, at, j / height, k / width) : 0;
          for (let c = 0; c < 3; c++) {
            const own = alpha > 0 ? Math.min((drawn[from + c] / alpha) * light, 1) * alpha : 0;
            added[c] += dark * air * AIR[c] * (1 - alpha) + own * (1 - air) + air * AIR[c] * alpha;
          }
          if (i === 3 && inside && drawn[from + 4] > 0.5) seen[pixel] = 1; // as labels are reduced
        }
        for (let c = 0; c < 3; c++) {
          const to = 3 * pixel + c;
          colours[to] = (colours[to] * kept + added[c]) / (FINE * FINE);
        }
      }
    }
    return { colours, seen };
  }

  /** Light on a thing: less below, a little more at one side, and grain. */
  function shading(shade, at, v, u) {
    const grain = shade[((Math.floor(40 * u) + at.top) & 63) * 64 + Math.floor(40 * v)] / 255;
    return 1.06 - 0.26 * v + 0.12 * (u - 0.5) + 0.1 * (grain - 0.5);
  }

  /** Blur by a Gaussian, in place, (height, width, 3); at the edges the picture is mirrored. */
  function blur(colours, width, height, sigma) {
    const radius = Math.floor(4 * sigma + 0.5);
    const weights = [];
    for (let k = 0; k <= radius; k++) weights.push(Math.exp((-0.5 * k * k) / (sigma * sigma)));
    const sum = 2 * weights.reduce((a, b) => a + b) - 1;
    const mirror = (i, n) => (i < 0 ? -1 - i : i >= n ? 2 * n - 1 - i : i);
    for (const [count, length, step, stride] of [
      [height, width, 3, 3 * width], [width, height, 3 * width, 3],
    ]) {
      const line = new Float32Array(3 * length);
      for (let n = 0; n < count; n++) {
        for (let i = 0; i < length; i++) {
          for (let c = 0; c < 3; c++) {
            let value = weights[0] * colours[n * stride + i * step + c];
            for (let k = 1; k <= radius; k++) {
              value += weights[k] * (colours[n * stride + mirror(i - k, length) * step + c]
                + colours[n * stride + mirror(i + k, length) * step + c]);
            }
            line[3 * i + c] = value / sum;
          }
        }
        for (let i = 0; i < length; i++) {
          for (let c = 0; c < 3; c++) colours[n * stride + i * step + c] = line[3 * i + c];
        }
      }
    }
  }

  /** What the sensor makes of colours (height, width, 3), which it changes: bytes RGBA. */
  function develop(colours, sensor, [width, height] = [WIDTH, HEIGHT]) {
    blur(colours, width, height, sensor.blur);
    sensor.grain ??= normal(width * height * 3, sensor.seed).map((value) => value * sensor.noise);
    sensor.curve ??= Float32Array.from({ length: 4097 }, (_, i) => (i / 4096) ** sensor.gamma);
    const pixels = new Uint8ClampedArray(width * height * 4).fill(255);
    for (let row = 0, i = 0; row < height; row++) {
      const v = (2 * row) / (height - 1) - 1;
      for (let column = 0; column < width; column++, i++) {
        const u = (2 * column) / (width - 1) - 1;
        const edge = 1 - 0.1 * (u * u + v * v); // lenses see less towards the corners
        for (let c = 0; c < 3; c++) {
          const light = Math.min(Math.max(colours[3 * i + c] * sensor.light[c] * edge, 0), 1);
          const value = sensor.curve[Math.round(4096 * light)] + sensor.grain[3 * i + c];
          pixels[4 * i + c] = Math.floor(Math.min(Math.max(value, 0), 1) * 255 + 0.5);
        }
      }
    }
    return pixels;
  }

  /** The picture with a thing that stands on the pixel (x, y): bytes RGBA; where the thing is seen;
   *  and the region in which segments count, uint8 (H, W): the road and the thing. */
  function paint(street, thing, shade, x, y) {
    const { colours, seen } = put(street, thing, shade, x, y);
    const region = street.labels.map((label, i) => (label === ROAD || seen[i] ? 1 : 0));
    return { pixels: develop(colours, street), seen, region, metres: metres(street, y) };
  }

  Object.assign(playground, { WIDTH, HEIGHT, generator, readThing, paint, develop });
}
