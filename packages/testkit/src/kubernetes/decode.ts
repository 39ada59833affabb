// From JSON to an object of its kind, by the fields that the kind has: a wrong type is refused in the words of the server's
// own decoder, a field that there is not is dropped and said.
import { readFileSync } from 'node:fs';
import { isObject, type JsonObject } from './object.ts';
import { apiVersionOf, type Resource } from './resources.ts';
import { badRequest } from './status-error.ts';

const TYPES = JSON.parse(readFileSync(new URL('types.json', import.meta.url), 'utf8')) as Readonly<
  Record<string, Readonly<Record<string, string>>>
>;

export interface Decoded {
  readonly object: JsonObject;
  /** Paths of fields that the kind has not: `spec.containers[0].nmae`. */
  readonly unknownFields: readonly string[];
}

/** @throws StatusError 400 where a field has the wrong type, or (strictly) does not exist */
export function decodeAs(resource: Resource, body: JsonObject, isStrict: boolean): Decoded {
  const decoder = new Decoder(resource);
  const object = decoder.struct(resource.kind, body, '', '');
  const { unknownFields } = decoder;
  if (isStrict && unknownFields.length > 0) {
    throw decoder.refusal(`strict decoding error: ${unknownFields.map((field) => `unknown field ${JSON.stringify(field)}`).join(', ')}`);
  }
  return { object, unknownFields };
}

class Decoder {
  readonly unknownFields: string[] = [];
  readonly #resource: Resource;

  constructor(resource: Resource) {
    this.#resource = resource;
  }

  refusal(why: string): Error {
    const { version, kind } = this.#resource;
    return badRequest(`${kind} in version ${JSON.stringify(version)} cannot be handled as a ${kind}: ${why}`);
  }

  /** `at` is the path with the places in lists, `path` the one without, as the decoder of Go says it. */
  struct(name: string, value: JsonObject, at: string, path: string): JsonObject {
    const fields = TYPES[name];
    if (fields === undefined) return value;
    const decoded: Record<string, unknown> = {};
    for (const [field, one] of Object.entries(value)) {
      const type = fields[field];
      const where = at === '' ? field : `${at}.${field}`;
      if (type === undefined) this.unknownFields.push(where);
      else if (one !== null) decoded[field] = this.#value(type, one, where, path === '' ? field : `${path}.${field}`, name);
    }
    return decoded;
  }

  #value(type: string, value: unknown, at: string, path: string, struct: string): unknown {
    if (type === 'any') return value;
    if (type.startsWith('[]')) {
      if (!Array.isArray(value)) throw this.#mismatch(type, value, path, struct);
      return value.map((one, index) => this.#value(type.slice(2), one, `${at}[${index}]`, path, struct));
    }
    if (type.startsWith('map[string]')) {
      if (!isObject(value)) throw this.#mismatch(type, value, path, struct);
      const entries = Object.entries(value).map(([key, one]) => [
        key,
        this.#value(type.slice('map[string]'.length), one, `${at}.${key}`, path, struct),
      ]);
      return Object.fromEntries(entries);
    }
    if (type.startsWith('v1.')) {
      if (!isObject(value)) throw this.#mismatch(type, value, path, struct);
      return this.struct(type.slice(3), value, at, path);
    }
    if (!isPlain(type, value)) throw this.#mismatch(type, value, path, struct);
    return type === 'Quantity' ? String(value) : value;
  }

  #mismatch(type: string, value: unknown, path: string, struct: string): Error {
    if (type === 'Time' || type === 'MicroTime')
      return this.refusal(`parsing time ${JSON.stringify(String(value))} as "2006-01-02T15:04:05Z07:00": cannot parse it`);
    const word = Array.isArray(value) ? 'array' : typeof value === 'boolean' ? 'bool' : typeof value;
    const what = word === 'number' && type.startsWith('int') ? `number ${String(value)}` : word;
    return this.refusal(`json: cannot unmarshal ${what} into Go struct field ${struct}.${path} of type ${type}`);
  }
}

function isPlain(type: string, value: unknown): boolean {
  switch (type) {
    case 'string':
      return typeof value === 'string';
    case 'bool':
      return typeof value === 'boolean';
    case 'int32':
    case 'int64':
      return Number.isInteger(value);
    case 'Time':
    case 'MicroTime':
      return typeof value === 'string' && !Number.isNaN(Date.parse(value));
    case 'IntOrString':
    case 'Quantity':
      return typeof value === 'string' || typeof value === 'number';
    default:
      return typeof value === 'number';
  }
}

/** As the `kind` and `apiVersion` of a body say, where they say something else than its path. */
export function checkKind(resource: Resource, { apiVersion, kind }: JsonObject): void {
  const isOther = (kind !== undefined && kind !== resource.kind) || (apiVersion !== undefined && apiVersion !== apiVersionOf(resource));
  if (!isOther) return;
  const [given, wanted] = [`${String(apiVersion)}, Kind=${String(kind)}`, `${apiVersionOf(resource)}, Kind=${resource.kind}`];
  throw badRequest(`the object provided is unrecognized (must be of type ${resource.kind}): ${given} is not ${wanted}`);
}
