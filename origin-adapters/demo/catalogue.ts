/** The demo shop's products, and each change to them as a transaction of rows before and after. */
export interface Product {
  readonly id: string;
  readonly name: string;
  readonly category: string;
  readonly priceCents: number;
  readonly stock: number;
}

/** One row's change in the form of the feed. */
export interface RowChange {
  readonly table: 'products';
  readonly op: 'insert' | 'update' | 'delete';
  readonly id: string;
  readonly before: Product | null;
  readonly after: Product | null;
}

export type ProductFields = Omit<Product, 'id'>;

export interface Catalogue {
  get(id: string): Product | null;
  /** The products in order of creation; null: of all categories. */
  list(category: string | null): readonly Product[];
  /** Products whose name or category contains the text, case-insensitively. */
  search(text: string): readonly Product[];
  put(id: string, fields: ProductFields): Product;
  /** Adds all products in one transaction; null: there is no room. */
  add(list: readonly ProductFields[]): readonly Product[] | null;
  /** Removes a product; false: it does not exist. */
  remove(id: string): boolean;
  readonly full: boolean;
  /** Wall-clock milliseconds of the product's last change or removal; if there was none, of the shop's start. */
  changedAtMs(id: string): number;
  /** Wall-clock milliseconds. */
  readonly openedAtMs: number;
  /** Wall-clock milliseconds of the last change of any product. */
  readonly lastChangeAtMs: number;
}

/** The maximum of products, which bounds the shop's memory. */
const maxProducts = 10_000;

/** `onChange` is called with each transaction right after it was applied. */
export function createCatalogue(onChange: (transaction: readonly RowChange[]) => void): Catalogue {
  const openedAtMs = Date.now();
  const products = new Map<string, Product>(stock.map((product) => [product.id, product]));
  const changedAtMs = new Map<string, number>();
  let lastChangeAtMs = openedAtMs;
  let nextId = stock.length + 1;

  const apply = (transaction: readonly RowChange[]): void => {
    lastChangeAtMs = Date.now();
    for (const { id, after } of transaction) {
      if (after === null) products.delete(id);
      else products.set(id, after);
      remember(changedAtMs, id, lastChangeAtMs);
    }
    onChange(transaction);
  };

  const freeId = (): string => {
    while (products.has(String(nextId))) nextId++;
    return String(nextId++);
  };

  return {
    get: (id) => products.get(id) ?? null,
    list: (category) =>
      [...products.values()].filter((product) => category === null || product.category === category),
    search(text) {
      const wanted = text.toLowerCase();
      return [...products.values()].filter(({ name, category }) =>
        `${name} ${category}`.toLowerCase().includes(wanted),
      );
    },
    put(id, fields) {
      const before = products.get(id) ?? null;
      const after: Product = { id, ...fields };
      apply([{ table: 'products', op: before === null ? 'insert' : 'update', id, before, after }]);
      return after;
    },
    add(list) {
      if (products.size + list.length > maxProducts) return null;
      const added = list.map((fields): Product => ({ id: freeId(), ...fields }));
      apply(
        added.map(
          (after) => ({ table: 'products', op: 'insert', id: after.id, before: null, after }) as const,
        ),
      );
      return added;
    },
    remove(id) {
      const before = products.get(id);
      if (before === undefined) return false;
      apply([{ table: 'products', op: 'delete', id, before, after: null }]);
      return true;
    },
    get full() {
      return products.size >= maxProducts;
    },
    openedAtMs,
    changedAtMs: (id) => changedAtMs.get(id) ?? openedAtMs,
    get lastChangeAtMs() {
      return lastChangeAtMs;
    },
  };
}

/** Bounded, because times of removed products would accumulate. The oldest is dropped first. */
function remember(times: Map<string, number>, id: string, timeMs: number): void {
  times.delete(id);
  times.set(id, timeMs);
  if (times.size > 2 * maxProducts) times.delete(times.keys().next().value!);
}

const stock: readonly Product[] = [
  { id: '1', name: 'Oak desk', category: 'furniture', priceCents: 34900, stock: 4 },
  { id: '2', name: 'Desk lamp', category: 'lighting', priceCents: 4900, stock: 31 },
  { id: '3', name: 'Reading chair', category: 'furniture', priceCents: 27900, stock: 7 },
  { id: '4', name: 'Floor lamp', category: 'lighting', priceCents: 11900, stock: 12 },
  { id: '5', name: 'Wool rug', category: 'textiles', priceCents: 15900, stock: 9 },
  { id: '6', name: 'Linen curtain', category: 'textiles', priceCents: 6900, stock: 22 },
  { id: '7', name: 'Teapot', category: 'kitchen', priceCents: 3900, stock: 40 },
  { id: '8', name: 'Bread knife', category: 'kitchen', priceCents: 5900, stock: 18 },
  { id: '9', name: 'Book shelf', category: 'furniture', priceCents: 18900, stock: 6 },
  { id: '10', name: 'Wall clock', category: 'decoration', priceCents: 7900, stock: 15 },
  { id: '11', name: 'Stone vase', category: 'decoration', priceCents: 4500, stock: 27 },
  { id: '12', name: 'Cast iron pan', category: 'kitchen', priceCents: 8900, stock: 11 },
];
