/** A mail server by its settings. */
export interface MailServer {
  host: string;
  port: number;
  security: "tls" | "starttls" | "none";
  username?: string | undefined;
  password?: string | undefined;
  from: string;
}

/** `smtps://user:password@host:port`, or `smtp://` with STARTTLS demanded unless `?starttls=no`. */
export function parseMailServer(text: string, from: string | undefined): MailServer {
  const url = URL.parse(text);
  if (!url || !["smtp:", "smtps:"].includes(url.protocol) || !url.hostname) {
    throw new Error("looks like smtps://user:password@mail.example.com:465");
  }
  const isTls = url.protocol === "smtps:";
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: url.port ? Number(url.port) : isTls ? 465 : 587,
    security: isTls ? "tls" : url.searchParams.get("starttls") === "no" ? "none" : "starttls",
    ...(url.username ? { username: decodeURIComponent(url.username) } : {}),
    ...(url.password ? { password: decodeURIComponent(url.password) } : {}),
    from: from ?? `vautn@${url.hostname}`,
  };
}
