const BROWSERS: readonly [RegExp, string][] = [
  [/Edg\//, "Edge"],
  [/OPR\//, "Opera"],
  [/Firefox\//, "Firefox"],
  [/Chrome\//, "Chrome"],
  [/Safari\//, "Safari"],
  [/curl\//, "curl"],
];
const SYSTEMS: readonly [RegExp, string][] = [
  [/Android/, "Android"],
  [/iPhone|iPad/, "iOS"],
  [/Windows/, "Windows"],
  [/Mac OS X/, "macOS"],
  [/Linux/, "Linux"],
];

/** A browser in words, as far as it says what it is. */
export function deviceName(userAgent: string | null): string {
  const named = (list: typeof BROWSERS) =>
    list.find(([pattern]) => pattern.test(userAgent ?? ""))?.[1];
  const browser = named(BROWSERS) ?? "A program";
  const system = named(SYSTEMS);
  return system ? `${browser} on ${system}` : browser;
}

const METHODS: Record<string, string> = {
  password: "password",
  oidc: "provider",
  passkey: "passkey",
  totp: "code",
  recovery: "recovery code",
};

/** How somebody signed in: `password+totp` as "password and code". */
export function methodName(method: string, provider: string | null): string {
  const words = method.split("+").map((part) => METHODS[part] ?? part);
  return provider ? `${words.join(" and ")} ${provider}` : words.join(" and ");
}
