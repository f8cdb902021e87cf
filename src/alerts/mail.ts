import { isIP } from "node:net";
import { createTransport } from "nodemailer";
import { beforeAbort, resolveGuarded } from "../kernel/guarded-request.ts";
import { messageOf } from "../kernel/index.ts";
import type { MailServer } from "../kernel/mail-server.ts";
import { MAX_ATTEMPT_MS } from "./deliver-in-turn.ts";
import { headline, plainText } from "./notification.ts";
import type { Message, SendingDeps, Sent } from "./senders.ts";

const CONNECT_TIMEOUT_MS = 10_000;
/** Who looks for spam while the letter waits takes its time; sent again, it would be there twice. */
const SOCKET_TIMEOUT_MS = 45_000;

/** Sends an e-mail; SMTP's 5xx is final, everything else is worth another attempt. */
export async function sendMail(deps: SendingDeps, message: Message): Promise<Sent> {
  const { settings, secret } = message;
  const own = settings.smtp;
  const server = own
    ? { ...own, password: secret, from: settings.from ?? `vautn@${own.host}` }
    : deps.mailServer;
  if (!server) {
    return { status: 0, failure: "the platform has no mail server", isFinal: true };
  }
  // The platform's own server was chosen by who runs it; a tenant's could be any of ours.
  const allowPrivateAddresses = own === undefined ? true : deps.allowPrivateAddresses;
  const { resolve } = deps;
  const abort = new AbortController();
  const timer = deps.clock.after(MAX_ATTEMPT_MS, () => abort.abort());
  try {
    const resolving = resolveGuarded(server.host, { allowPrivateAddresses, resolve });
    const { address } = await beforeAbort(resolving, abort.signal);
    await send(deps, message, { ...server, address }, abort.signal);
    return { status: 250, failure: null, isFinal: true };
  } catch (error) {
    const { responseCode = 0 } = error as { responseCode?: number };
    const late = `no answer within ${MAX_ATTEMPT_MS / 1_000} s`;
    return {
      status: responseCode,
      failure: `the mail server: ${abort.signal.aborted ? late : messageOf(error)}`,
      // RFC 5321 §4.2.1: 5yz is a permanent negative answer.
      isFinal: responseCode >= 500 && responseCode < 600,
    };
  } finally {
    timer.cancel();
  }
}

async function send(
  deps: SendingDeps,
  { settings, notification, id }: Message,
  server: MailServer & { address: string },
  signal: AbortSignal,
): Promise<void> {
  const transport = createTransport({
    host: server.address,
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
  const from = settings.from ?? server.from;
  try {
    await transport.sendMail({
      from: { name: "Vautn", address: from },
      to: settings.to ?? [],
      subject: headline(notification).slice(0, 200),
      text: plainText(notification, deps.consoleUrl),
      // The same in each attempt: a mailbox shows a repeated message once.
      messageId: `<${id}@${from.split("@")[1] ?? "vautn"}>`,
      headers: { "Auto-Submitted": "auto-generated" },
      signal,
    });
  } finally {
    transport.close();
  }
}
