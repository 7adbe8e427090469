/** The demo shop's pictures: colour gradients as BMP files, always the same for one product and size. */
export type ImageSize = keyof typeof edges;

/** The edges in pixels: multiples of four, so that BMP rows need no padding. The files have 4 KiB, 64 KiB and 1 MiB. */
const edges = { small: 36, medium: 148, large: 592 } as const;
const headerBytes = 54;

export function isImageSize(text: string): text is ImageSize {
  return Object.hasOwn(edges, text);
}

export function drawImage(id: string, size: ImageSize): Buffer {
  const edge = edges[size];
  const image = Buffer.alloc(headerBytes + edge * edge * 3);
  writeHeader(image, edge);
  const hue = hueOf(id);
  for (let y = 0, at = headerBytes; y < edge; y++) {
    for (let x = 0; x < edge; x++) {
      image[at++] = (hue + Math.floor((x * 128) / edge)) & 0xff;
      image[at++] = (hue * 3 + Math.floor((y * 128) / edge)) & 0xff;
      image[at++] = (hue * 7) & 0xff;
    }
  }
  return image;
}

/** BITMAPFILEHEADER and BITMAPINFOHEADER: 24 bits a pixel, uncompressed. */
function writeHeader(image: Buffer, edge: number): void {
  image.write('BM', 0, 'latin1');
  image.writeUInt32LE(image.length, 2);
  image.writeUInt32LE(headerBytes, 10);
  image.writeUInt32LE(40, 14);
  image.writeInt32LE(edge, 18);
  image.writeInt32LE(edge, 22);
  image.writeUInt16LE(1, 26);
  image.writeUInt16LE(24, 28);
  image.writeUInt32LE(image.length - headerBytes, 34);
}

function hueOf(id: string): number {
  let hue = 0;
  for (const character of id) hue = (hue * 31 + character.codePointAt(0)!) & 0xff;
  return hue;
}
