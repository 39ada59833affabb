// Messages that nobody should send: bytes, JSON of any shape, and good messages with one or two things wrong.
import fc from 'fast-check';

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Deeper than any stack goes that walks it by calling itself. */
const DEEP = 20_000;
const deep = (open: string, inner: string, close: string) => `${open.repeat(DEEP)}${inner}${close.repeat(DEEP)}`;

/** JSON texts that have been somebody's undoing, to be put in the place of a value. */
const NASTY: readonly string[] = [
  'null',
  'true',
  '[]',
  '{}',
  '""',
  '-1',
  '0',
  '0.5',
  '1e999',
  '-0',
  '9007199254740993',
  '"\\u0000"',
  '"a.b"',
  '"*"',
  '">"',
  '"../../etc/passwd"',
  '"\\ud800"',
  '"constructor"',
  '"__proto__"',
  '{"__proto__":{"isPolluted":true}}',
  '{"constructor":{"prototype":{"isPolluted":true}}}',
  '{"toString":null,"hasOwnProperty":1}',
  `"${'x'.repeat(5_000)}"`,
  `[${Array.from({ length: 2_000 }, () => '1').join(',')}]`,
  deep('[', '', ']'),
  deep('{"a":', '1', '}'),
];
const KEYS: readonly string[] = ['__proto__', 'constructor', 'toString', '', 'colour', 'a.b', '0'];

const nasty = fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...NASTY) }, { weight: 1, arbitrary: fc.json({ maxDepth: 3 }) });

type Change =
  | { readonly kind: 'replace' | 'remove'; readonly at: number; readonly by: string }
  | { readonly kind: 'add'; readonly at: number; readonly key: string; readonly by: string };

const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ kind: fc.constantFrom('replace' as const, 'remove' as const), at: fc.nat(1_000), by: nasty }),
  fc.record({ kind: fc.constant('add' as const), at: fc.nat(1_000), key: fc.constantFrom(...KEYS), by: nasty }),
);

/** A message near `good`, or far from it, as bytes. */
export function hostile(good: readonly unknown[]): fc.Arbitrary<Uint8Array> {
  const near = fc
    .record({ of: fc.constantFrom(...good), changes: fc.array(change, { minLength: 1, maxLength: 2 }) })
    .map(({ of, changes }) => changes.reduce(changed, write(of as Json)));
  const cut = fc.record({ of: fc.constantFrom(...good), at: fc.nat(500) }).map(({ of, at }) => write(of as Json).slice(0, at));
  const bytes = fc.uint8Array({ maxLength: 200 });
  return fc.oneof(
    { weight: 6, arbitrary: fc.oneof({ weight: 5, arbitrary: near }, { weight: 1, arbitrary: cut }).map(toBytes) },
    { weight: 1, arbitrary: bytes },
    { weight: 1, arbitrary: nasty.map(toBytes) },
    {
      weight: 1,
      arbitrary: fc.record({ of: fc.constantFrom(...good), flips: fc.array(fc.nat(4_000), { minLength: 1, maxLength: 3 }) }).map(flipped),
    },
  );
}

function toBytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Single bits the other way round. */
function flipped({ of, flips }: { readonly of: unknown; readonly flips: readonly number[] }): Uint8Array {
  const bytes = toBytes(write(of as Json));
  for (const flip of flips) {
    const at = Math.floor(flip / 8) % Math.max(1, bytes.length);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << (flip % 8));
  }
  return bytes;
}

const MARK = '"\\u0001here"';

/** One place of a JSON text changed; a text that is none any more stays as it is. Written as text: keys may be there twice. */
function changed(text: string, { at, ...how }: Change): string {
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch {
    return text;
  }
  const places = placesOf(value);
  const place = places[at % places.length] ?? [];
  const marked = write(mark(value, place));
  switch (how.kind) {
    case 'replace':
      return marked.replace(MARK, () => how.by);
    case 'remove':
      return marked.replace(new RegExp(`,?"[^"]*":${MARK.replaceAll('\\', '\\\\')}|,?${MARK.replaceAll('\\', '\\\\')}`), '');
    case 'add': {
      const own = write(at in places ? valueAt(value, place) : value);
      const added = `${JSON.stringify(how.key)}:${how.by}`;
      return marked.replace(MARK, () => (own.startsWith('{') ? `{${added}${own === '{}' ? '' : ','}${own.slice(1)}` : `{${added}}`));
    }
  }
}

function write(value: Json): string {
  try {
    return JSON.stringify(value);
  } catch {
    // Too deep to be written again.
    return 'null';
  }
}

type Place = readonly (string | number)[];
const PLACES_MAX = 200;

function placesOf(value: Json, at: Place = []): readonly Place[] {
  if (typeof value !== 'object' || value === null || at.length > 8) return [at];
  return [at, ...Object.entries(value).flatMap(([key, inner]) => placesOf(inner, [...at, key]))].slice(0, PLACES_MAX);
}

function valueAt(value: Json, place: Place): Json {
  return place.reduce<Json>((inner, key) => (inner as Record<string | number, Json>)[key] ?? null, value);
}

function mark(value: Json, [key, ...rest]: Place): Json {
  if (key === undefined) return JSON.parse(MARK) as Json;
  if (Array.isArray(value)) return (value as readonly Json[]).map((inner, at) => (String(at) === String(key) ? mark(inner, rest) : inner));
  return Object.fromEntries(
    Object.entries(value as object).map(([name, inner]) => [name, name === key ? mark(inner as Json, rest) : (inner as Json)]),
  );
}

/** Processor time that this thread has used, ms: how long something takes whatever else the machine does. */
export function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}
