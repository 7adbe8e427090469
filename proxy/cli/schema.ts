/** `weir schema`: prints the JSON Schema of the configuration file. */
import { jsonSchemaText } from '../../policies/config/json-schema.ts';
import type { FeedSchemas } from '../../policies/config/schema.ts';
import type { Output } from './output.ts';

/** The exit code. */
export function runSchema({
  feedSchemas,
  stdout,
}: {
  readonly feedSchemas: FeedSchemas;
  readonly stdout: Output;
}): 0 {
  stdout.write(jsonSchemaText(feedSchemas));
  return 0;
}
