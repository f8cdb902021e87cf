/** The platform read a message and does not want it: sending it again would not help. */
export class PublishRefused extends Error {
  readonly reasonCode: number;

  constructor(reasonCode: number, message: string) {
    super(message);
    this.name = "PublishRefused";
    this.reasonCode = reasonCode;
  }
}
