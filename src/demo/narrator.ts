import Table from "cli-table3";

/** Tells the story: numbered steps, details below them, one line that is redrawn on a terminal. */
export class Narrator {
  readonly #stream: NodeJS.WriteStream;
  readonly #startedAt = Date.now();
  #step = 0;
  #liveLine = "";
  #plainText = "";
  #plainQuarter = -1;

  constructor(stream: NodeJS.WriteStream = process.stdout) {
    this.#stream = stream;
  }

  step(title: string): void {
    this.#step += 1;
    this.#write(`\n${this.#bold(`${this.#step}. ${title}`)} ${this.#dim(this.#elapsed())}`);
  }

  say(text: string): void {
    this.#write(`   ${text}`);
  }

  /** A page or command at which the reader can see the same. */
  look(where: string): void {
    this.#write(`   ${this.#dim(`look: ${where}`)}`);
  }

  /** Progress: redrawn in place on a terminal, a line for each quarter in a pipe. */
  progress(done: number, total: number, text: string): void {
    const line = `   ${bar(done, total)} ${done}/${total} ${text}`;
    if (this.#stream.isTTY) {
      this.#liveLine = line;
      this.#stream.write(`\r\x1b[2K${line.slice(0, (this.#stream.columns ?? 100) - 1)}`);
      return;
    }
    const quarter = total === 0 ? 0 : Math.floor((done / total) * 4);
    if (text === this.#plainText && quarter <= this.#plainQuarter) return;
    this.#plainText = text;
    this.#plainQuarter = quarter;
    this.#stream.write(`${line}\n`);
  }

  table(rows: [string, string][]): void {
    const table = new Table({ style: { head: [], border: [] } });
    table.push(...rows);
    this.#write(`\n${table.toString()}`);
  }

  good(text: string): void {
    this.#write(`   ${this.#paint("32", "✔")} ${text}`);
  }

  bad(text: string): void {
    this.#write(`   ${this.#paint("31", "✘")} ${text}`);
  }

  get elapsedSeconds(): number {
    return (Date.now() - this.#startedAt) / 1000;
  }

  #write(text: string): void {
    if (this.#liveLine) this.#stream.write("\n");
    this.#liveLine = "";
    this.#stream.write(`${text}\n`);
  }

  #elapsed(): string {
    return `(${this.elapsedSeconds.toFixed(0)} s)`;
  }

  #bold(text: string): string {
    return this.#paint("1", text);
  }

  #dim(text: string): string {
    return this.#paint("2", text);
  }

  #paint(code: string, text: string): string {
    return this.#stream.isTTY ? `\x1b[${code}m${text}\x1b[0m` : text;
  }
}

function bar(done: number, total: number): string {
  const width = 24;
  const filled = total === 0 ? 0 : Math.round((done / total) * width);
  return `${"█".repeat(filled)}${"░".repeat(width - filled)}`;
}
