/** A GUID as UEFI writes it: the first three fields little-endian (UEFI 2.10 Appendix A). */
export function guid(text: string): Buffer {
  const bytes = Buffer.from(text.replaceAll("-", ""), "hex");
  if (bytes.length !== 16) throw new TypeError(`"${text}" is no GUID`);
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return bytes;
}

/** Namespaces of variables. */
export const NAMESPACE = {
  global: "8be4df61-93ca-11d2-aa0d-00e098032b8c",
  imageSecurity: "d719b2cb-3d3a-4596-a3bc-dad00e67656f",
} as const;
