/** What happens in each minute of a year; whoever wants to do something later writes it down here. */
export class Agenda {
  readonly #minutes: (() => Promise<void> | void)[][] = [];
  #now = 0;
  readonly length: number;

  constructor(minutes: number) {
    this.length = minutes;
  }

  get now(): number {
    return this.#now;
  }

  in(minutes: number, work: () => Promise<void> | void): void {
    const at = this.#now + Math.max(1, Math.round(minutes));
    if (at >= this.length) return;
    const due = this.#minutes[at];
    if (due) due.push(work);
    else this.#minutes[at] = [work];
  }

  /** The next minute in which something happens, at most `latest`. */
  next(latest: number): number {
    let at = this.#now + 1;
    while (at < latest && !this.#minutes[at]) at += 1;
    return Math.min(at, this.length);
  }

  /** Goes to a minute and takes what has come due up to it. */
  take(minute: number): (() => Promise<void> | void)[] {
    const due: (() => Promise<void> | void)[] = [];
    for (let at = this.#now + 1; at <= minute; at += 1) {
      due.push(...(this.#minutes[at] ?? []));
      delete this.#minutes[at];
    }
    this.#now = minute;
    return due;
  }
}
