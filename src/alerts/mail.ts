import { isIP } from "node:net";
import { createTransport } from "nodemailer";
import { type Resolve, resolveGuarded } from "../kernel/guarded-request.ts";
import { messageOf } from "../kernel/index.ts";
import type { PrivateAddresses } from "../kernel/public-address.ts";
import { headline, plainText } from "./notification.ts";
import type { Message, SendingDeps, Sent } from "./senders.ts";

const CONNECT_TIMEOUT_MS = 10_000;
const SOCKET_TIMEOUT_MS = 15_000;

/** Sends an e-mail; SMTP's 5xx is final, everything else is worth another attempt. */
export async function sendMail(deps: SendingDeps, message: Message): Promise<Sent> {
  const { settings, secret, notification, id } = message;
  const own = settings.smtp;
  const server = own
    ? { ...own, password: secret, from: settings.from ?? `vautn@${own.host}` }
    : deps.mailServer;
  if (!server) {
    return { status: 0, failure: "the platform has no mail server", isFinal: true };
  }
  // The platform's own server was chosen by who runs it; a tenant's could be any of ours.
  const allowPrivateAddresses = own === undefined ? true : deps.allowPrivateAddresses;
  const options: { allowPrivateAddresses: PrivateAddresses; resolve?: Resolve | undefined } = {
    allowPrivateAddresses,
    resolve: deps.resolve,
  };
  const { address } = await resolveGuarded(server.host, options);
  const transport = createTransport({
    host: address,
    port: server.port,
    secure: server.security === "tls",
    requireTLS: server.security === "starttls",
    ignoreTLS: server.security === "none",
    tls: isIP(server.host) ? {} : { servername: server.host },
    ...(server.username ? { auth: { user: server.username, pass: server.password ?? "" } } : {}),
    connectionTimeout: CONNECT_TIMEOUT_MS,
    greetingTimeout: CONNECT_TIMEOUT_MS,
    socketTimeout: SOCKET_TIMEOUT_MS,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  const domain = (settings.from ?? server.from).split("@")[1] ?? "vautn";
  try {
    await transport.sendMail({
      from: { name: "Vautn", address: settings.from ?? server.from },
      to: settings.to ?? [],
      subject: headline(notification).slice(0, 200),
      text: plainText(notification, deps.consoleUrl),
      // The same in each attempt: a mailbox shows a repeated message once.
      messageId: `<${id}@${domain}>`,
      headers: { "Auto-Submitted": "auto-generated" },
    });
    return { status: 250, failure: null, isFinal: true };
  } catch (error) {
    const { responseCode = 0 } = error as { responseCode?: number };
    return {
      status: responseCode,
      failure: `the mail server: ${messageOf(error)}`,
      // RFC 5321 §4.2.1: 5yz is a permanent negative answer.
      isFinal: responseCode >= 500 && responseCode < 600,
    };
  } finally {
    transport.close();
  }
}
