// Learning in the page: the loss of entropy maximization (ood_lib/training/loss.py), its gradient
// through the network's graph, and Adam. TensorFlow.js has no gradients of what is needed in
// WebAssembly, so each node's is written here; both of a convolution are convolutions themselves.
"use strict";
globalThis.playground ??= {};
{
  const [UNKNOWN, IGNORED] = [254, 255]; // labels beside the classes

  /** Mean over pixels of (1 - lambda) (-log p_c), or of lambda times the mean of all -log p where a
   *  pixel is unknown; and its gradient by the logits (pixels, C). */
  function lossOf(logits, labels, lambda, classes) {
    const gradient = new Float32Array(logits.length);
    let loss = 0;
    labels.forEach((label, pixel) => {
      if (label === IGNORED) return;
      const own = logits.subarray(pixel * classes, (pixel + 1) * classes);
      const most = own.reduce((a, b) => Math.max(a, b));
      const logSum = most + Math.log(own.reduce((sum, y) => sum + Math.exp(y - most), 0));
      const isUnknown = label === UNKNOWN;
      const weight = (isUnknown ? lambda : 1 - lambda) / labels.length;
      const wanted = isUnknown ? own.reduce((a, b) => a + b) / classes : own[label];
      loss += weight * (logSum - wanted);
      for (let c = 0; c < classes; c++) {
        const target = isUnknown ? 1 / classes : Number(c === label);
        gradient[pixel * classes + c] = weight * (Math.exp(own[c] - logSum) - target);
      }
    });
    return { loss, gradient };
  }

  /** By the filter (k, k, in, out): the picture's channels as a batch, looked at through the
   *  gradient; the steps of one convolution are the gaps of the other. */
  function byFilter(x, weight, gradient, { stride, dilation }) {
    const [size, , inputs, outputs] = weight.shape;
    const found = tf.conv2d(
      tf.transpose(x, [3, 1, 2, 0]), tf.transpose(gradient, [1, 2, 0, 3]), dilation,
      playground.around(dilation * (size >> 1)), "NHWC", stride, "floor",
    );
    return tf.transpose(tf.slice(found, [0, 0, 0, 0], [inputs, size, size, outputs]), [1, 2, 0, 3]);
  }

  /** By the convolution's input: the gradient, spread where steps were taken, through the filter
   *  turned by half a circle. */
  function byInput(x, weight, gradient, { stride, dilation }) {
    const turned = tf.transpose(tf.reverse(weight, [0, 1]), [0, 1, 3, 2]);
    const spread = stride === 1 ? gradient : spreadOut(gradient, x.shape);
    const pad = playground.around(dilation * (weight.shape[0] >> 1));
    return tf.conv2d(spread, turned, 1, pad, "NHWC", dilation, "floor");
  }

  /** (N, H/2, W/2, C) to the even pixels of (N, H, W, C), zeros between. */
  function spreadOut(gradient, [count, height, width]) {
    const channels = gradient.shape[3];
    const [h, w] = [height / 2, width / 2];
    const columns = tf.concat([gradient, tf.zerosLike(gradient)], 3); // each pixel, then a zero
    const rows = tf.reshape(columns, [count, h, width * channels]);
    return tf.reshape(tf.concat([rows, tf.zerosLike(rows)], 2), [count, height, 2 * w, channels]);
  }

  /** Max-pooling hands the gradient to the first largest pixel of each window, as PyTorch does. */
  function byPool(x, gradient) {
    const [count, height, width, channels] = x.shape;
    const [values, given] = [x.dataSync(), gradient.dataSync()];
    const [, h, w] = gradient.shape;
    const result = new Float32Array(values.length);
    for (let place = 0, from = 0; place < count * h * w; place++) {
      const [n, row, column] = [Math.floor(place / (h * w)), Math.floor(place / w) % h, place % w];
      for (let c = 0; c < channels; c++, from++) {
        let [best, most] = [-1, -Infinity];
        for (let r = Math.max(2 * row - 1, 0); r <= Math.min(2 * row + 1, height - 1); r++) {
          for (let k = Math.max(2 * column - 1, 0); k <= Math.min(2 * column + 1, width - 1); k++) {
            const at = ((n * height + r) * width + k) * channels + c;
            if (values[at] > most) [best, most] = [at, values[at]];
          }
        }
        result[best] += given[from];
      }
    }
    return tf.tensor(result, x.shape);
  }

  /** Bilinear weights (from, to) of an enlargement with corners on corners. */
  function enlargement(from, to) {
    const matrix = new Float32Array(from * to);
    for (let i = 0; i < to; i++) {
      const position = (i * (from - 1)) / (to - 1);
      const low = Math.min(Math.floor(position), from - 1);
      matrix[low * to + i] += 1 - (position - low);
      matrix[Math.min(low + 1, from - 1) * to + i] += position - low;
    }
    return tf.tensor(matrix, [from, to]);
  }

  /** By what was enlarged: the weights of the enlargement the other way, for rows and columns. */
  function byUp(x, gradient) {
    const [count, h, w, channels] = x.shape;
    const [, height, width] = gradient.shape;
    const flat = tf.reshape(gradient, [count, height, width * channels]);
    const rows = tf.matMul(tf.tile(tf.expandDims(enlargement(h, height), 0), [count, 1, 1]), flat);
    const lines = tf.reshape(rows, [count * h, width, channels]);
    const all = tf.tile(tf.expandDims(enlargement(w, width), 0), [count * h, 1, 1]);
    return tf.reshape(tf.matMul(all, lines), [count, h, w, channels]);
  }

  /** Gradients by all weights, flat and by name, from that by the logits. */
  function backward({ nodes, weights }, results, byLogits) {
    const gradients = [...nodes.map(() => null).slice(1), byLogits];
    const found = {};
    const give = (place, gradient) => {
      gradients[place] = gradients[place] ? tf.add(gradients[place], gradient) : gradient;
    };
    for (let place = nodes.length - 1; place > 1; place--) { // 1 normalises the image, and stays
      const node = nodes[place];
      const [first, second] = node.inputs;
      const x = results[first];
      let gradient = gradients[place];
      if (node.relu) gradient = tf.mul(gradient, tf.cast(tf.greater(results[place], 0), "float32"));
      const weight = weights[`weight${place}`];
      if (node.op === "add") node.inputs.forEach((input) => give(input, gradient));
      if (node.op === "pool") give(first, byPool(x, gradient));
      if (node.op === "up" && second !== undefined) give(first, byUp(x, gradient));
      if (node.op === "concat") {
        let start = 0;
        for (const input of node.inputs) {
          const channels = results[input].shape[3];
          give(input, tf.slice(gradient, [0, 0, 0, start], [-1, -1, -1, channels]));
          start += channels;
        }
      }
      if (!weight) continue;
      found[`bias${place}`] = tf.sum(gradient, [0, 1, 2]);
      if (node.op === "affine") {
        found[`weight${place}`] = tf.sum(tf.mul(gradient, x), [0, 1, 2]);
        give(first, tf.mul(gradient, weight));
      } else {
        found[`weight${place}`] = byFilter(x, weight, gradient, node);
        if (first > 1) give(first, byInput(x, weight, gradient, node));
      }
    }
    return found;
  }

  /** Loss and gradients for images float (N, H, W, 3) and labels (N, H, W), all flat. */
  function gradientsOf(network, images, labels, shape, lambda, classes) {
    return playground.freeing(() => {
      const results = playground.forward(network, tf.tensor(images, [...shape, 3]));
      const logits = results.at(-1);
      const { loss, gradient } = lossOf(logits.dataSync(), labels, lambda, classes);
      const found = backward(network, results, tf.tensor(gradient, logits.shape));
      const gradients = {};
      for (const [name, tensor] of Object.entries(found)) gradients[name] = tensor.dataSync();
      return { loss, gradients };
    });
  }

  /** Adam (Kingma and Ba 2015) with PyTorch's constants; changes the network's weights. */
  class Adam {
    constructor() {
      this.steps = 0;
      this.moments = {};
    }

    step(network, gradients, rate) {
      this.steps++;
      const [first, second] = [1 - 0.9 ** this.steps, 1 - 0.999 ** this.steps];
      for (const [name, gradient] of Object.entries(gradients)) {
        const old = network.weights[name];
        const values = old.dataSync().slice();
        const [m, v] = this.moments[name] ??= [0, 1].map(() => new Float32Array(values.length));
        for (let i = 0; i < values.length; i++) {
          m[i] += 0.1 * (gradient[i] - m[i]);
          v[i] += 0.001 * (gradient[i] * gradient[i] - v[i]);
          values[i] -= ((rate / first) * m[i]) / (Math.sqrt(v[i] / second) + 1e-8);
        }
        network.weights[name] = tf.tensor(values, old.shape);
        old.dispose();
      }
    }
  }

  Object.assign(playground, { gradientsOf, Adam });
}
