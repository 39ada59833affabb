// Parameters of a statement, from JSON.
//
// A string is sent as VARCHAR and a number as what it is; where the statement says the type of a parameter (`id = ?`),
// DuckDB casts. So what JSON has no word for goes as a string: '170141183460469231731687303715884105727', '2024-02-29',
// or from_base64(?).
import {
  BIGINT,
  BOOLEAN,
  DOUBLE,
  DuckDBListType,
  type DuckDBPreparedStatement,
  DuckDBStructType,
  type DuckDBType,
  DuckDBTypeId,
  type DuckDBValue,
  HUGEINT,
  INTEGER,
  LIST,
  listValue,
  SQLNULL,
  STRUCT,
  structValue,
  UHUGEINT,
  VARCHAR,
} from '@duckdb/node-api';
import { MusterError } from '@muster/protocol';

/** A JSON value, in which whole numbers beyond 2^53 are bigints (see `parseJsonExactly`). */
export type Parameter = null | boolean | number | bigint | string | readonly Parameter[] | { readonly [key: string]: Parameter };
/** By position (`?`, `$1`) or by name (`$name`). */
export type Parameters = readonly Parameter[] | Readonly<Record<string, Parameter>>;

const INT32 = 2 ** 31;
const HUGEINT_BITS = 127n;
const DEPTH_MAX = 32;

/** JSON in which a whole number beyond 2^53 becomes a bigint instead of its neighbour. @throws SyntaxError */
export function parseJsonExactly(text: string): unknown {
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  return JSON.parse(text, exactly as (key: string, value: unknown) => unknown);
}

function exactly(_key: string, value: unknown, context: { readonly source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value) || context.source === undefined) return value;
  return /^-?\d+$/.test(context.source) ? BigInt(context.source) : value;
}

/**
 * Gives the statement its parameters.
 * @throws MusterError `bad-request` whose `field` names the parameter
 */
export function bind(statement: DuckDBPreparedStatement, parameters: Parameters): void {
  const isList = Array.isArray(parameters);
  const given = Object.entries(parameters) as readonly (readonly [string, Parameter])[];
  if (given.length !== statement.parameterCount) {
    throw new MusterError('bad-request', `params: the statement has ${statement.parameterCount} parameters, ${given.length} were given`, {
      field: 'params',
    });
  }
  for (const [name, parameter] of given) {
    const field = `params.${name}`;
    const index = isList ? Number(name) + 1 : indexOf(statement, name, field);
    const type = typeOf(parameter, field);
    statement.bindValue(index, toDuckDB(parameter, type), type);
  }
}

function indexOf(statement: DuckDBPreparedStatement, name: string, field: string): number {
  for (let index = 1; index <= statement.parameterCount; index++) {
    if (statement.parameterName(index).toLowerCase() === name.toLowerCase()) return index;
  }
  throw new MusterError('bad-request', `${field}: the statement has no parameter $${name}`, { field });
}

function typeOf(parameter: Parameter, field: string, depth = 0): DuckDBType {
  switch (typeof parameter) {
    case 'boolean':
      return BOOLEAN;
    case 'string':
      return VARCHAR;
    case 'number':
      if (!Number.isInteger(parameter)) return DOUBLE;
      if (!Number.isSafeInteger(parameter)) return DOUBLE;
      return parameter >= -INT32 && parameter < INT32 ? INTEGER : BIGINT;
    case 'bigint':
      return bigintType(parameter, field);
    default:
      break;
  }
  if (parameter === null) return SQLNULL;
  if (depth === DEPTH_MAX) throw new MusterError('bad-request', `${field}: is nested more than ${DEPTH_MAX} deep`, { field });
  if (Array.isArray(parameter)) {
    const types = (parameter as readonly Parameter[]).map((item, at) => typeOf(item, `${field}.${at}`, depth + 1));
    return LIST(types.reduce((a, b) => common(a, b, field), SQLNULL));
  }
  const entries = Object.entries(parameter as Record<string, Parameter>);
  if (entries.length === 0) throw new MusterError('bad-request', `${field}: DuckDB has no struct without fields`, { field });
  return STRUCT(Object.fromEntries(entries.map(([name, item]) => [name, typeOf(item, `${field}.${name}`, depth + 1)])));
}

function bigintType(value: bigint, field: string): DuckDBType {
  if (BigInt.asIntN(64, value) === value) return BIGINT;
  const size = value < 0n ? -(value + 1n) : value;
  if (size < 1n << HUGEINT_BITS) return HUGEINT;
  if (value > 0n && size < 1n << (HUGEINT_BITS + 1n)) return UHUGEINT;
  throw new MusterError('bad-request', `${field}: is a number beyond 128 bits; send it as a string`, { field });
}

/** From narrow to wide. */
const NUMBERS: readonly DuckDBTypeId[] = [
  DuckDBTypeId.INTEGER,
  DuckDBTypeId.BIGINT,
  DuckDBTypeId.HUGEINT,
  DuckDBTypeId.UHUGEINT,
  DuckDBTypeId.DOUBLE,
];

/** The type that holds both: of a null and anything, of two numbers, of two lists or structs of such. */
function common(a: DuckDBType, b: DuckDBType, field: string): DuckDBType {
  if (a.typeId === DuckDBTypeId.SQLNULL) return b;
  if (b.typeId === DuckDBTypeId.SQLNULL) return a;
  const ranks = [NUMBERS.indexOf(a.typeId), NUMBERS.indexOf(b.typeId)] as const;
  if (ranks[0] >= 0 && ranks[1] >= 0) return ranks[0] >= ranks[1] ? a : b;
  if (a instanceof DuckDBListType && b instanceof DuckDBListType) return LIST(common(a.valueType, b.valueType, field));
  if (a instanceof DuckDBStructType && b instanceof DuckDBStructType && a.entryNames.join('\0') === b.entryNames.join('\0')) {
    return STRUCT(
      Object.fromEntries(
        a.entryNames.map((name, at) => [name, common(a.entryTypes[at] ?? SQLNULL, b.entryTypes[at] ?? SQLNULL, `${field}.${name}`)]),
      ),
    );
  }
  if (a.typeId === b.typeId && !(a instanceof DuckDBStructType)) return a;
  throw new MusterError('bad-request', `${field}: ${a.toString()} and ${b.toString()} cannot be in one list`, { field });
}

function toDuckDB(parameter: Parameter, type: DuckDBType): DuckDBValue {
  if (parameter === null) return null;
  if (type instanceof DuckDBListType) return listValue((parameter as readonly Parameter[]).map((item) => toDuckDB(item, type.valueType)));
  if (type instanceof DuckDBStructType) {
    const fields = parameter as Readonly<Record<string, Parameter>>;
    return structValue(
      Object.fromEntries(type.entryNames.map((name, at) => [name, toDuckDB(fields[name] ?? null, type.entryTypes[at] ?? SQLNULL)])),
    );
  }
  switch (type.typeId) {
    case DuckDBTypeId.BIGINT:
    case DuckDBTypeId.HUGEINT:
    case DuckDBTypeId.UHUGEINT:
      return BigInt(parameter as number | bigint);
    case DuckDBTypeId.DOUBLE:
      return Number(parameter);
    default:
      return parameter as boolean | number | string;
  }
}
