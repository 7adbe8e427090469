/** `weir schema`: prints the JSON Schema of the configuration file. */
import { jsonSchemaText } from '../../policies/config/json-schema.ts';
import type { FeedTypes } from '../../policies/config/schema.ts';
import type { Output } from './output.ts';

export function runSchema({
  feedTypes,
  stdout,
}: {
  readonly feedTypes: FeedTypes;
  readonly stdout: Output;
}): 0 {
  stdout.write(jsonSchemaText(feedTypes));
  return 0;
}
