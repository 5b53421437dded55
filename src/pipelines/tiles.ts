/** Top left corner of a tile, in latent pixels. */
export interface TileOrigin {
  readonly top: number;
  readonly left: number;
}

/** Tiles of one size that cover an image, overlapping; in latent pixels. */
export interface TilePlan {
  readonly height: number;
  readonly width: number;
  readonly origins: readonly TileOrigin[];
}

interface Extent {
  readonly height: number;
  readonly width: number;
}

/** Covers `image` with tiles of at most `tileSize`, overlapping by at least a quarter of it. */
export function planTiles(image: Extent, tileSize: number): TilePlan {
  const tops = starts(image.height, tileSize);
  const lefts = starts(image.width, tileSize);
  return {
    height: Math.min(image.height, tileSize),
    width: Math.min(image.width, tileSize),
    origins: tops.flatMap((top) => lefts.map((left) => ({ top, left }))),
  };
}

/** Evenly spread first positions, so that no tile is mostly overlap. */
function starts(extent: number, tile: number): number[] {
  if (extent <= tile) return [0];
  const stride = Math.floor(tile * 0.75);
  const count = Math.ceil((extent - tile) / stride) + 1;
  return Array.from({ length: count }, (_, i) => Math.round(((extent - tile) * i) / (count - 1)));
}

/**
 * Puts decoded tiles together: every pixel is the average of the tiles over it, weighted by the
 * distance to the tile's edge, so that seams fade over the whole overlap.
 */
export function blendTiles(
  tiles: readonly Float32Array[],
  plan: TilePlan,
  image: Extent,
  scale: number,
  channels: number,
): Float32Array {
  if (tiles.length === 1) return tiles[0];
  const width = image.width * scale;
  const sum = new Float32Array(image.height * scale * width * channels);
  const weight = new Float32Array(image.height * scale * width);
  const [tileHeight, tileWidth] = [plan.height * scale, plan.width * scale];
  tiles.forEach((tile, index) => {
    const { top, left } = plan.origins[index];
    for (let y = 0; y < tileHeight; y++) {
      for (let x = 0; x < tileWidth; x++) {
        const share = rampUp(y, tileHeight) * rampUp(x, tileWidth);
        const pixel = (top * scale + y) * width + left * scale + x;
        weight[pixel] += share;
        for (let channel = 0; channel < channels; channel++) {
          sum[pixel * channels + channel] += share * tile[(y * tileWidth + x) * channels + channel];
        }
      }
    }
  });
  return sum.map((value, i) => value / weight[Math.floor(i / channels)]);
}

/** Distance to the nearer end, from 1. */
function rampUp(position: number, extent: number): number {
  return Math.min(position, extent - 1 - position) + 1;
}
