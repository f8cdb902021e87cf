/** The platform does not accept the certificate that was shown; it may still be renewed by it. */
export class IdentityRefused extends Error {
  constructor(message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.name = "IdentityRefused";
  }
}
