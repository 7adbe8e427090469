/** The demo shop's unsafe methods on products: preconditions, content and responses. */
import type { IncomingHttpHeaders } from 'node:http';
import { etagOf, matchesEtag, problem } from './answer.ts';
import type { Answer } from './answer.ts';
import type { Catalogue, Product, ProductFields } from './catalogue.ts';

export function putProduct(
  catalogue: Catalogue,
  id: string,
  headers: IncomingHttpHeaders,
  body: Buffer,
): Answer {
  const before = catalogue.get(id);
  const failed = failedPrecondition(headers, before);
  if (failed !== null) return failed;
  if (before === null && catalogue.full) return problem(507, 'The shop is full');
  const fields = readFields(body);
  if (fields === null) return invalid;
  const after = catalogue.put(id, fields);
  return written(before === null ? 201 : 200, after, body);
}

export function patchProduct(
  catalogue: Catalogue,
  id: string,
  headers: IncomingHttpHeaders,
  body: Buffer,
): Answer {
  const before = catalogue.get(id);
  if (before === null) return problem(404, 'No such product');
  const failed = failedPrecondition(headers, before);
  if (failed !== null) return failed;
  const patch = readJson(body);
  const fields = isRecord(patch) ? fieldsOf({ ...before, ...patch }) : null;
  return fields === null ? invalid : written(200, catalogue.put(id, fields), body);
}

export function deleteProduct(catalogue: Catalogue, id: string, headers: IncomingHttpHeaders): Answer {
  const failed = failedPrecondition(headers, catalogue.get(id));
  if (failed !== null) return failed;
  return catalogue.remove(id)
    ? { status: 204, headers: {}, body: Buffer.alloc(0) }
    : problem(404, 'No such product');
}

/** Adds one product, or an array of products in one transaction. */
export function addProducts(catalogue: Catalogue, body: Buffer): Answer {
  const json = readJson(body);
  const list = (Array.isArray(json) ? json : [json]).map(fieldsOf);
  if (list.length === 0 || list.includes(null)) return invalid;
  const added = catalogue.add(list as ProductFields[]);
  if (added === null) return problem(507, 'The shop is full');
  const value = Array.isArray(json) ? added : added[0];
  const place: Record<string, string> = added.length === 1 ? { Location: `/products/${added[0]!.id}` } : {};
  return {
    status: 201,
    headers: { 'Content-Type': 'application/json', ...place },
    body: Buffer.from(JSON.stringify(value)),
  };
}

const invalid = problem(
  422,
  'Expected {"name": text, "category": text, "priceCents": whole number, "stock": whole number} as JSON',
);

/** RFC 9110 §13.2.2: If-Match before If-None-Match. */
function failedPrecondition(headers: IncomingHttpHeaders, current: Product | null): Answer | null {
  const etag = current === null ? null : etagOf(Buffer.from(JSON.stringify(current)));
  const ifMatch = headers['if-match'];
  const ifNoneMatch = headers['if-none-match'];
  const failed =
    (ifMatch !== undefined && (etag === null || !matchesEtag(ifMatch, etag))) ||
    (ifNoneMatch !== undefined && etag !== null && matchesEtag(ifNoneMatch, etag));
  return failed ? problem(412, 'The product is not in the state that the request expects') : null;
}

/** RFC 9110 §9.3.4: the response has a validator only if the content is stored unchanged. */
function written(status: number, product: Product, sent: Buffer): Answer {
  const body = Buffer.from(JSON.stringify(product));
  const validator: Record<string, string> = body.equals(sent) ? { ETag: etagOf(body) } : {};
  return { status, headers: { 'Content-Type': 'application/json', ...validator }, body };
}

function readFields(body: Buffer): ProductFields | null {
  return fieldsOf(readJson(body));
}

function readJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return null;
  }
}

function fieldsOf(value: unknown): ProductFields | null {
  if (!isRecord(value)) return null;
  const { name, category = 'other', priceCents = 0, stock = 0 } = value;
  if (!isText(name) || !isText(category) || !isCount(priceCents) || !isCount(stock)) return null;
  return { name, category, priceCents, stock };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= 200;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
