/** OTLP requests in protobuf (opentelemetry-proto, logs/v1), as a collector sends what devices log. */

/** `count` records from number `first` on, a millisecond apart, of one resource. */
export function otlpRequest(first: number, count: number, startMs: number): Buffer {
  const records = Array.from({ length: count }, (_, index) => record(first + index, startMs));
  const resource = message(1, attribute(1, "service.name", "agent"));
  return message(1, resource, message(2, message(1, text(1, "pump")), ...records));
}

function record(number: number, startMs: number): Buffer {
  const words = `sensor measured sample in ${(number * 17) % 1_000_000} ms ${(number * 31) % 10_000}`;
  const at = BigInt(startMs + number) * 1_000_000n;
  return message(
    2,
    ...[time(1, at), time(11, at), Buffer.from([2 << 3, 9]), text(3, "INFO")],
    message(5, text(1, words)),
    attribute(6, "vautn.device", `device-${(number * 7_919) % 1_000}`),
    attribute(6, "thread", "main"),
    bytes(
      9,
      Buffer.from(
        Math.floor(number / 10)
          .toString(16)
          .padStart(32, "a"),
        "hex",
      ),
    ),
    bytes(10, Buffer.from(number.toString(16).padStart(16, "b"), "hex")),
  );
}

function attribute(field: number, key: string, value: string): Buffer {
  return message(field, text(1, key), message(2, text(1, value)));
}

function message(field: number, ...parts: readonly Buffer[]): Buffer {
  return bytes(field, Buffer.concat(parts));
}

function text(field: number, value: string): Buffer {
  return bytes(field, Buffer.from(value));
}

function bytes(field: number, content: Buffer): Buffer {
  return Buffer.concat([varint((field << 3) | 2), varint(content.length), content]);
}

function time(field: number, nanoseconds: bigint): Buffer {
  const whole = Buffer.alloc(9, (field << 3) | 1);
  whole.writeBigUInt64LE(nanoseconds, 1);
  return whole;
}

function varint(value: number): Buffer {
  const parts: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) parts.push((rest & 0x7f) | 0x80);
  return Buffer.from([...parts, rest]);
}
