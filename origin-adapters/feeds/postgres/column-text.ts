import type { Data } from '../../../policies/change.ts';
import { parseExactJson } from '../../formats/exact-json.ts';

/**
 * The value of a column's text. Booleans, integers, JSON and arrays of common types become their JSON form, so that a
 * map can compare them and look into them. Integers beyond a double's precision and other types stay text.
 */
export function readColumnText(text: string, typeId: number): Data {
  const elementTypeId = elementTypes.get(typeId);
  if (elementTypeId === undefined) return readScalar(text, typeId);
  return readArray(text, (element) => readScalar(element, elementTypeId)) ?? text;
}

// pg_type.dat: these ids are the same in every cluster.
const boolType = 16;
const integerTypes: ReadonlySet<number> = new Set([20, 21, 23, 26]);
const jsonTypes: ReadonlySet<number> = new Set([114, 3802]);
/** Array types by their elements: bool, int2, int4, int8, text, bpchar, varchar, uuid. */
const elementTypes: ReadonlyMap<number, number> = new Map([
  [1000, boolType],
  [1005, 21],
  [1007, 23],
  [1016, 20],
  [1009, 25],
  [1014, 1042],
  [1015, 1043],
  [2951, 2950],
]);

function readScalar(text: string, typeId: number): Data {
  if (typeId === boolType) return text === 't';
  if (integerTypes.has(typeId)) {
    const integer = Number(text);
    return Number.isSafeInteger(integer) ? integer : text;
  }
  if (jsonTypes.has(typeId)) {
    const parsed = parseExactJson(Buffer.from(text));
    return parsed.kind === 'data' ? parsed.data : text;
  }
  return text;
}

/**
 * PostgreSQL manual §8.15.6: parses an array's text form, `{1,NULL,"a \"b\""}` or `{{1,2},{3,4}}`; null where it has
 * another form, with bounds before the braces.
 */
function readArray(text: string, readElement: (text: string) => Data): Data | null {
  const stack: Data[][] = [];
  let whole: Data[] | null = null;
  for (const [token] of text.matchAll(/[{},]|"(?:[^"\\]|\\.)*"|[^{},"]+/gs)) {
    const open = stack.at(-1);
    if (token === '{') {
      const inner: Data[] = [];
      open?.push(inner);
      whole ??= inner;
      stack.push(inner);
    } else if (token === '}') {
      stack.pop();
    } else if (open === undefined) {
      return null;
    } else if (token !== ',') {
      open.push(readArrayElement(token, readElement));
    }
  }
  return whole;
}

function readArrayElement(token: string, readElement: (text: string) => Data): Data {
  if (token.startsWith('"')) return readElement(token.slice(1, -1).replaceAll(/\\(.)/gs, '$1'));
  return token.toUpperCase() === 'NULL' ? null : readElement(token);
}
