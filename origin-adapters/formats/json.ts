import type { Change, Data, DataObject } from '../../policies/change.ts';
import { isDataObject } from '../../policies/change.ts';
import { parseExactJson } from './exact-json.ts';
import type { FormatMessage, ParsedMessage } from './format.ts';

/** Format `json`: an object is one change, an array of objects one transaction. */
export function parseJson(message: FormatMessage): ParsedMessage {
  const parsed = parseExactJson(message.body);
  if (parsed.kind === 'malformed') return { kind: 'unintelligible', reason: parsed.reason };
  return jsonTransaction(parsed.data);
}

function jsonTransaction(data: Data): ParsedMessage {
  const objects = Array.isArray(data) ? (data as readonly Data[]) : [data];
  const changes: Change[] = [];
  for (const object of objects) {
    if (!isDataObject(object)) {
      return { kind: 'unintelligible', reason: 'expected an object or an array of objects' };
    }
    changes.push(changeOf(object));
  }
  return { kind: 'transaction', changes };
}

/** `before` and `after` are the row's states where the object has them; other members belong to the message. */
function changeOf(object: DataObject): Change {
  return {
    message: [object],
    before: isDataObject(object['before']) ? object['before'] : null,
    after: isDataObject(object['after']) ? object['after'] : null,
    known: 'all',
  };
}
