/** Fields of a log line. The names `replica`, `shard`, `slot`, `org`, `reservation`, `intent` mean what DESIGN says. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Structured logs: one constant message, all that varies in the fields. pino has this shape. */
export interface Logger {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  /** A logger that adds `fields` to every line. */
  child(fields: LogFields): Logger;
}
