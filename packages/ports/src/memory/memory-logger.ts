import type { LogFields, Logger } from '../logger.ts';

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly message: string;
  readonly fields: LogFields;
}

/** Keeps the last `linesMax` lines (default 10,000); children write into the same ones. */
export class MemoryLogger implements Logger {
  readonly lines: LogLine[];
  readonly #fields: LogFields;
  readonly #linesMax: number;

  constructor(options: { readonly linesMax?: number; readonly fields?: LogFields; readonly lines?: LogLine[] } = {}) {
    this.lines = options.lines ?? [];
    this.#fields = options.fields ?? {};
    this.#linesMax = options.linesMax ?? 10_000;
  }

  debug(fields: LogFields, message: string): void {
    this.#write('debug', fields, message);
  }
  info(fields: LogFields, message: string): void {
    this.#write('info', fields, message);
  }
  warn(fields: LogFields, message: string): void {
    this.#write('warn', fields, message);
  }
  error(fields: LogFields, message: string): void {
    this.#write('error', fields, message);
  }

  child(fields: LogFields): MemoryLogger {
    return new MemoryLogger({ linesMax: this.#linesMax, fields: { ...this.#fields, ...fields }, lines: this.lines });
  }

  #write(level: LogLine['level'], fields: LogFields, message: string): void {
    if (this.lines.length >= this.#linesMax) this.lines.splice(0, Math.ceil(this.#linesMax / 10));
    this.lines.push({ level, message, fields: { ...this.#fields, ...fields } });
  }
}

/** Says nothing. */
export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLogger,
};
