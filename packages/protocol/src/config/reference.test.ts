import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { parseClusterConfig } from './parse.ts';
import { clusterFileSchema } from './schema.ts';

const page = readFileSync(new URL('../../../../docs/reference/configuration.md', import.meta.url), 'utf8');

interface Schema {
  readonly type?: string;
  readonly limits?: string;
  /** Of a value; that of a map is its values' own. */
  readonly default?: string | number;
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | false;
  readonly required?: readonly string[];
}

function limitsOf(schema: Schema): string {
  if (schema.limits !== undefined) return schema.limits;
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(', ');
  const range = `${schema.minimum} to ${schema.maximum}`;
  switch (schema.type) {
    case 'integer':
      return `a whole number, ${range}`;
    case 'number':
      return `a number, ${range}`;
    case 'array':
      return `a list of ${schema.minItems} to ${schema.maxItems}`;
    case 'object':
      return 'a map';
    default:
      return 'a text';
  }
}

/** One row for each value that can be written: its path, what it may be, and what it is when it is left out. */
function rowsOf(schema: Schema, path: string, without: string): readonly string[] {
  const inside = Object.entries(schema.properties ?? {}).flatMap(([key, inner]) => {
    const isRequired = schema.required?.includes(key) ?? false;
    const needed = without === 'required' ? without : `required in \`${path}\``;
    return rowsOf(inner, path === '' ? key : `${path}.${key}`, isRequired ? needed : '');
  });
  const entries = schema.additionalProperties;
  if (entries !== undefined && entries !== false && entries.properties !== undefined) {
    inside.push(...rowsOf(entries, `${path}.<${path === 'pools' ? 'pool' : 'org'}>`, 'required'));
  }
  if (inside.length > 0) return inside;
  const byDefault = schema.default === undefined ? without : `\`${schema.default}\``;
  return [`\`${path}\` | ${limitsOf(schema)} | ${byDefault}`];
}

test('the page lists exactly the values that the schema knows, with their limits and defaults', () => {
  const schema = z.toJSONSchema(clusterFileSchema, { io: 'input', unrepresentable: 'any' }) as Schema;
  const listed = page
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) =>
      line
        .split('|')
        .slice(1, 4)
        .map((cell) => cell.trim())
        .join(' | '),
    );
  expect(listed).toEqual(rowsOf(schema, '', 'required'));
});

test('the example of the page is a configuration, and nothing in it is doubtful', () => {
  const [, yaml = ''] = /```yaml\n([\s\S]*?)```/.exec(page) ?? [];
  expect(parseClusterConfig(yaml).warnings).toEqual([]);
});
