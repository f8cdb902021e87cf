/** An artifact that cannot be used; another one on offer may do. */
export class OfferFailed extends Error {
  /** The part that failed, as it is reported. */
  readonly element: string;

  constructor(element: string, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.name = "OfferFailed";
    this.element = element;
  }
}
