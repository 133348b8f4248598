// Reading what the build packed: base64 of a gzipped safetensors file, in a script that calls
// playground.receive, since a page that is opened from a disk may read no other kind of file.
"use strict";
globalThis.playground ??= {};
{
  const KINDS = {
    U8: Uint8Array, I32: Int32Array, F32: Float32Array, F64: Float64Array, I64: BigInt64Array,
  };

  /** The bytes that a base64 text stands for. */
  function bytesOf(text) {
    const raw = atob(text);
    const bytes = new Uint8Array(raw.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = raw.charCodeAt(i);
    return bytes;
  }

  async function unzip(bytes) {
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).arrayBuffer();
  }

  /** A pack: its arrays by name, flat, and in `about` what is said of them. */
  async function open(text) {
    const buffer = await unzip(bytesOf(text));
    const length = Number(new DataView(buffer).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
    const found = { about: JSON.parse(header.__metadata__.about), shapes: {} };
    for (const [name, { dtype, shape, data_offsets }] of Object.entries(header)) {
      if (name === "__metadata__") continue;
      const [start, stop] = data_offsets.map((offset) => 8 + length + offset);
      found[name] = new KINDS[dtype](buffer.slice(start, stop)); // a copy, which is aligned
      found.shapes[name] = shape;
    }
    return found;
  }

  /** Numbers float32 from float16 in two planes, the lower and the upper bytes. */
  function fromHalves(planes) {
    const count = planes.length / 2;
    const numbers = new Float32Array(count);
    for (let i = 0; i < count; i++) {
      const upper = planes[count + i];
      const exponent = (upper >> 2) & 31;
      const fraction = ((upper & 3) << 8) | planes[i];
      const size = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
      numbers[i] = upper & 128 ? -size : size;
    }
    return numbers;
  }

  Object.assign(playground, { open, fromHalves });
}
