// The meta classifiers of ood_lib/meta: the probability that a segment is a false positive, p^FP.
"use strict";
globalThis.playground ??= {};
{
  const sigmoid = (value) => 1 / (1 + Math.exp(-value));
  const standardised = ({ mean, scale }, metrics) => metrics.map((m, i) => (m - mean[i]) / scale[i]);

  /** Logistic regression: weights of all metrics, then the intercept. */
  function logistic(fitted, metrics) {
    const values = standardised(fitted, metrics);
    const { parameters } = fitted;
    return sigmoid(values.reduce((sum, z, i) => sum + parameters[i] * z, parameters[values.length]));
  }

  /** The thesis's network: three layers as wide as there are metrics, ReLU, and one neuron. */
  function neural({ mean, scale, parameters }, metrics) {
    let values = standardised({ mean, scale }, metrics);
    let start = 0;
    for (const outputs of [75, 75, 75, 1]) {
      const inputs = values.length;
      const biases = start + outputs * inputs;
      const next = Array.from({ length: outputs }, (_, out) => values.reduce(
        (sum, value, i) => sum + parameters[start + out * inputs + i] * value,
        parameters[biases + out],
      ));
      values = outputs > 1 ? next.map((value) => Math.max(value, 0)) : next;
      start = biases + outputs;
    }
    return sigmoid(values[0]);
  }

  Object.assign(playground, { verdictBy: { logistic, neural } });
}
