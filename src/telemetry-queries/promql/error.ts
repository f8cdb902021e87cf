/** A query that is wrong or asks for what is not offered. `position` counts from 0. */
export class PromqlError extends Error {
  readonly position: number;

  constructor(message: string, position: number) {
    super(message);
    this.name = "PromqlError";
    this.position = position;
  }
}
