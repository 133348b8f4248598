// The network: its graph (ood_lib/models/export.py says what the nodes compute) in TensorFlow.js.
"use strict";
globalThis.playground ??= {};
{
  /** Let TensorFlow.js compute in WebAssembly, whose bytes are given. */
  async function start(wasm) {
    let raw = "";
    for (const byte of wasm) raw += String.fromCharCode(byte);
    // A data: address, since any other would be a request. All three names, for a single one would
    // be taken for the beginning of an address.
    const address = `data:application/wasm;base64,${btoa(raw)}`;
    const names = ["", "-simd", "-threaded-simd"].map((kind) => `tfjs-backend-wasm${kind}.wasm`);
    tf.wasm.setWasmPaths(Object.fromEntries(names.map((name) => [name, address])));
    tf.env().set("WASM_HAS_MULTITHREAD_SUPPORT", false);
    if (!await tf.setBackend("wasm")) throw new Error("this browser has no WebAssembly with SIMD");
    await tf.ready();
  }

  /** A network from its nodes, the shapes of its weights and all weights in one row. */
  function readNetwork(nodes, shapes, numbers) {
    const weights = {};
    let start = 0;
    for (const [name, shape] of Object.entries(shapes)) {
      const stop = start + shape.reduce((a, b) => a * b, 1);
      const tensor = tf.tensor(numbers.slice(start, stop), shape);
      // PyTorch has filters (out, in, k, k), TensorFlow (k, k, in, out).
      weights[name] = shape.length === 4 ? tf.transpose(tensor, [2, 3, 1, 0]) : tensor;
      start = stop;
    }
    return { nodes, weights };
  }

  /** Zeros around a picture as PyTorch puts them: "same" would be half a pixel off at stride 2. */
  function around(width) {
    return [[0, 0], [width, width], [width, width], [0, 0]];
  }

  function computeNode(place, node, weights, inputs) {
    const [x, y] = inputs;
    const [weight, bias] = [weights[`weight${place}`], weights[`bias${place}`]];
    switch (node.op) {
      case "affine": {
        const moved = tf.add(tf.mul(x, weight), bias);
        return node.relu ? tf.relu(moved) : moved;
      }
      case "conv":
        return tf.fused.conv2d({
          x, filter: weight, bias, strides: node.stride, dilations: node.dilation,
          pad: around(node.dilation * (weight.shape[0] >> 1)), dimRoundingMode: "floor",
          activation: node.relu ? "relu" : "linear",
        });
      case "pool":
        return tf.maxPool(x, 3, 2, around(1), "floor");
      case "add":
        return tf.add(x, y);
      case "concat":
        return tf.concat(inputs, 3);
      case "up":
        return tf.image.resizeBilinear(x, y.shape.slice(1, 3), true);
    }
    throw new Error(`this page cannot compute ${node.op}`);
  }

  /** What each node gives for images (N, H, W, 3) in [0, 1]; the last are the logits. */
  function forward({ nodes, weights }, images) {
    const results = [];
    nodes.forEach((node, place) => {
      const inputs = node.inputs.map((input) => results[input]);
      results.push(node.op === "input" ? images : computeNode(place, node, weights, inputs));
    });
    return results;
  }

  /** Pixels RGBA as numbers RGB in [0, 1]. */
  function asNumbers(pixels) {
    const numbers = new Float32Array((pixels.length / 4) * 3);
    for (let i = 0; i < numbers.length / 3; i++) {
      for (let c = 0; c < 3; c++) numbers[3 * i + c] = pixels[4 * i + c] / 255;
    }
    return numbers;
  }

  /** What `compute` gives, numbers, with all tensors freed that it made. Unlike tf.tidy it does not
   *  look for tensors among the numbers, which would take ten times as long as the network. */
  function freeing(compute) {
    tf.engine().startScope();
    try {
      return compute();
    } finally {
      tf.engine().endScope();
    }
  }

  /** Logits (H, W, C), flat, of a picture, bytes RGBA (H, W, 4). */
  function logitsOf(network, pixels, [height, width]) {
    return freeing(() => {
      const image = tf.tensor(asNumbers(pixels), [1, height, width, 3]);
      return forward(network, image).at(-1).dataSync();
    });
  }

  Object.assign(playground, { start, readNetwork, forward, freeing, around, asNumbers, logitsOf });
}
