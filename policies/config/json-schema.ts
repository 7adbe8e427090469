/** Makes the JSON Schema of the configuration file, which editors use for completion and help. */
import { z } from 'zod';
import type { FeedTypes } from './schema.ts';
import { configSchema } from './schema.ts';

export type JsonSchema = Readonly<Record<string, unknown>>;

/** Draft 7, which editors' YAML support knows best. Every value may also be `${NAME}`. */
export function jsonSchema(feedTypes: FeedTypes): JsonSchema {
  const generated = z.toJSONSchema(configSchema(feedTypes), { io: 'input', target: 'draft-07' });
  return {
    title: 'Weir configuration',
    ...withReferences(generated),
    definitions: {
      reference: { description: 'An environment variable.', type: 'string', pattern: '\\$\\{' },
    },
  };
}

/** The schema as the text of a file. */
export function jsonSchemaText(feedTypes: FeedTypes): string {
  return `${JSON.stringify(jsonSchema(feedTypes), null, 2)}\n`;
}

const REFERENCE = { $ref: '#/definitions/reference' };

function withReferences(schema: JsonSchema): JsonSchema {
  return Object.fromEntries(
    Object.entries(schema).map(([key, inner]) => {
      if (key === 'properties') return [key, mapValues(inner as JsonSchema, orReference)];
      if (key === 'items') return [key, orReference(inner as JsonSchema)];
      if (key === 'anyOf') return [key, (inner as JsonSchema[]).map(withReferences)];
      return [key, isSchema(inner) && key === 'additionalProperties' ? withReferences(inner) : inner];
    }),
  );
}

function orReference(schema: JsonSchema): JsonSchema {
  const { description, default: byDefault, ...constraints } = withReferences(schema);
  const about = {
    ...(description === undefined ? {} : { description }),
    ...(byDefault === undefined ? {} : { default: byDefault }),
  };
  if (Array.isArray(constraints['anyOf'])) return { ...about, anyOf: [...constraints['anyOf'], REFERENCE] };
  if (!isNarrow(constraints)) return { ...about, ...constraints };
  return { ...about, anyOf: [constraints, REFERENCE] };
}

/** Keywords that would reject a `${NAME}` reference. */
function isNarrow({ type, enum: values, pattern }: JsonSchema): boolean {
  return (
    type === 'integer' ||
    type === 'number' ||
    type === 'boolean' ||
    values !== undefined ||
    pattern !== undefined
  );
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null;
}

function mapValues(schemas: JsonSchema, change: (schema: JsonSchema) => JsonSchema): JsonSchema {
  return Object.fromEntries(
    Object.entries(schemas).map(([key, schema]) => [key, change(schema as JsonSchema)]),
  );
}
