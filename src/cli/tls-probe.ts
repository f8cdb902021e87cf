import tls from "node:tls";

/** What a listener and this machine agree on, and the certificate that it shows. */
export interface Negotiated {
  protocol: string;
  cipher: string;
  /** The key exchange: a group such as X25519MLKEM768. */
  group: string;
  subject: string;
  issuer: string;
  notAfter: Date;
}

/** Shakes hands with a listener without believing it; rejects where nobody listens. */
export function negotiate(host: string, port: number, timeoutMs: number): Promise<Negotiated> {
  return new Promise((resolve, reject) => {
    // Who it is does not matter here: the certificate is looked at, not trusted.
    const options = { host, port, servername: "localhost", rejectUnauthorized: false };
    const socket = tls.connect({ ...options, timeout: timeoutMs }, () => {
      const certificate = socket.getPeerX509Certificate();
      const group = socket.getEphemeralKeyInfo() as { name?: string } | null;
      const cipher = socket.getCipher();
      const protocol = socket.getProtocol() ?? "unknown";
      socket.destroy();
      if (!certificate) return reject(new Error("it shows no certificate"));
      resolve({
        protocol,
        cipher: cipher.standardName,
        group: group?.name ?? "unknown",
        subject: certificate.subject.replaceAll("\n", ", "),
        issuer: certificate.issuer.replaceAll("\n", ", "),
        notAfter: certificate.validToDate,
      });
    });
    socket.once("error", reject);
    socket.once("timeout", () => socket.destroy(new Error("it does not answer")));
  });
}
