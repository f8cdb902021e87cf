import { createHash } from "node:crypto";
import { replaceFile, type Storage, type TlsCredentials } from "../agent/index.ts";

const MARK = "delivered";
const OF_AN_EARLIER_DELIVERY = /^(?:generation-\d+\..*|identity\.json)$/;

/**
 * Puts on the flash what a device proves itself by when it is delivered. A flash that has had the
 * very same before is left as it is: its agent may have renewed it since.
 */
export async function deliverIdentity(storage: Storage, files: TlsCredentials): Promise<void> {
  const mark = createHash("sha256").update(files.certificate).digest("hex");
  if (Buffer.from((await storage.read(MARK)) ?? "").toString() === mark) return;
  for (const name of await storage.list()) {
    if (OF_AN_EARLIER_DELIVERY.test(name)) await storage.remove(name);
  }
  for (const name of ["key", "certificate", "root"] as const) {
    await replaceFile(storage, `${name}.pem`, Buffer.from(files[name]));
  }
  await replaceFile(storage, MARK, Buffer.from(mark));
}
