// DuckDB's values as JSON, without loss (the table is in README.md): a column of one type always has one form.
import {
  DuckDBArrayType,
  DuckDBArrayValue,
  DuckDBBlobValue,
  DuckDBDateValue,
  DuckDBGeometryValue,
  DuckDBListType,
  DuckDBListValue,
  DuckDBMapType,
  DuckDBMapValue,
  DuckDBStructType,
  DuckDBStructValue,
  DuckDBTimeNSValue,
  DuckDBTimestampMillisecondsValue,
  DuckDBTimestampNanosecondsValue,
  DuckDBTimestampSecondsValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  DuckDBTimeTZValue,
  DuckDBTimeValue,
  type DuckDBType,
  DuckDBUnionType,
  DuckDBUnionValue,
  type DuckDBValue,
  DuckDBVariantValue,
} from '@duckdb/node-api';
import { isoDate, isoOffset, isoTime, isoTimestamp } from './temporal.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

const MILLIS = 1_000n;
const MICROS = 1_000_000n;
const NANOS = 1_000_000_000n;

/** A value as JSON. Whole numbers that may exceed 2^53 (BIGINT and wider) and decimals are strings. */
export function toJson(value: DuckDBValue): Json {
  switch (typeof value) {
    case 'boolean':
    case 'string':
      return value;
    case 'number':
      // JSON has no NaN and no infinity.
      return Number.isFinite(value) ? value : String(value);
    case 'bigint':
      return String(value);
    default:
      return value === null ? null : objectToJson(value);
  }
}

function objectToJson(value: Exclude<DuckDBValue, null | boolean | number | bigint | string>): Json {
  if (value instanceof DuckDBTimestampValue) return timestamp(value, value.micros, MICROS);
  if (value instanceof DuckDBDateValue) return value.isFinite ? isoDate(value.days) : infinity(value.days);
  if (value instanceof DuckDBTimestampTZValue) return timestamp(value, value.micros, MICROS, 'Z');
  if (value instanceof DuckDBBlobValue || value instanceof DuckDBGeometryValue) return base64(value.bytes);
  if (value instanceof DuckDBListValue || value instanceof DuckDBArrayValue) return value.items.map(toJson);
  if (value instanceof DuckDBStructValue) return Object.fromEntries(Object.entries(value.entries).map(([name, of]) => [name, toJson(of)]));
  if (value instanceof DuckDBMapValue) return value.entries.map((entry) => ({ key: toJson(entry.key), value: toJson(entry.value) }));
  if (value instanceof DuckDBUnionValue) return { tag: value.tag, value: toJson(value.value) };
  if (value instanceof DuckDBVariantValue) return toJson(value.value);
  if (value instanceof DuckDBTimeValue) return isoTime(value.micros, MICROS);
  if (value instanceof DuckDBTimeNSValue) return isoTime(value.nanos, NANOS);
  if (value instanceof DuckDBTimeTZValue) return `${isoTime(value.micros, MICROS)}${isoOffset(value.offset)}`;
  if (value instanceof DuckDBTimestampSecondsValue) return timestamp(value, value.seconds, 1n);
  if (value instanceof DuckDBTimestampMillisecondsValue) return timestamp(value, value.millis, MILLIS);
  if (value instanceof DuckDBTimestampNanosecondsValue) return timestamp(value, value.nanos, NANOS);
  // Decimals, intervals, bits and UUIDs have one text each, which DuckDB reads back.
  return value.toString();
}

function timestamp(value: { readonly isFinite: boolean }, units: bigint, unitsPerSecond: bigint, zone = ''): string {
  return value.isFinite ? `${isoTimestamp(units, unitsPerSecond)}${zone}` : infinity(units);
}

function infinity(sign: number | bigint): string {
  return sign < 0 ? '-infinity' : 'infinity';
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

/**
 * Why values of this type cannot be sent without loss; undefined where they can. A struct whose fields have no names
 * (`row(1, 2)`) would lose all but the last as an object.
 */
export function whyNotJson(type: DuckDBType): string | undefined {
  if (type instanceof DuckDBStructType) {
    // The client library puts the fields into an object of its own before they get here, `__proto__` into nowhere.
    if (new Set(type.entryNames).size < type.entryNames.length || type.entryNames.includes('__proto__'))
      return `${type.toString()} has fields without names of their own`;
    return firstReason(type.entryTypes);
  }
  if (type instanceof DuckDBListType || type instanceof DuckDBArrayType) return whyNotJson(type.valueType);
  if (type instanceof DuckDBMapType) return firstReason([type.keyType, type.valueType]);
  if (type instanceof DuckDBUnionType) return firstReason(type.memberTypes);
  return undefined;
}

function firstReason(types: readonly DuckDBType[]): string | undefined {
  for (const type of types) {
    const reason = whyNotJson(type);
    if (reason !== undefined) return reason;
  }
  return undefined;
}
