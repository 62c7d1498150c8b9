/* AMX's tile registers in C, as the manual defines them: what generated kernels call in place of the instructions, on
 * machines without them. A shape that the instruction would refuse ends the process. Appended to hawq_runtime.c. */
static _Thread_local struct {
    uint8_t palette, start, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} tile_shapes;
static _Thread_local uint8_t tile_data[8][16][64];

static void tile_check(int legal)
{
    if (!legal) abort();
}

static void tile_used(int32_t tile)
{
    tile_check(tile >= 0 && tile < 8 && tile_shapes.palette == 1 && tile_shapes.rows[tile] && tile_shapes.bytes[tile]);
}

int32_t tile_configure(const void *shapes)
{
    memcpy(&tile_shapes, shapes, sizeof tile_shapes);
    memset(tile_data, 0, sizeof tile_data);
    for (int i = 0; i < 16; i++) {
        tile_check(tile_shapes.bytes[i] <= (i < 8 ? 64 : 0) && tile_shapes.rows[i] <= (i < 8 ? 16 : 0));
        tile_check(i >= 14 || !tile_shapes.reserved[i]);
    }
    return 0;
}

int32_t tile_load(int32_t tile, const uint8_t *data, int64_t step)
{
    tile_used(tile);
    memset(tile_data[tile], 0, sizeof tile_data[tile]);
    for (int row = 0; row < tile_shapes.rows[tile]; row++)
        memcpy(tile_data[tile][row], data + row * step, tile_shapes.bytes[tile]);
    return 0;
}

int32_t tile_store(int32_t tile, uint8_t *data, int64_t step)
{
    tile_used(tile);
    for (int row = 0; row < tile_shapes.rows[tile]; row++)
        memcpy(data + row * step, tile_data[tile][row], tile_shapes.bytes[tile]);
    return 0;
}

int32_t tile_dots(int32_t sums, int32_t x, int32_t w)
{
    tile_used(sums), tile_used(x), tile_used(w);
    tile_check(sums != x && sums != w && x != w);
    tile_check(tile_shapes.rows[sums] == tile_shapes.rows[x] && tile_shapes.bytes[sums] == tile_shapes.bytes[w]);
    tile_check(tile_shapes.bytes[x] == 4 * tile_shapes.rows[w]);
    for (int row = 0; row < tile_shapes.rows[sums]; row++)
        for (int word = 0; word < tile_shapes.rows[w]; word++)
            for (int lane = 0; lane < tile_shapes.bytes[sums] / 4; lane++) {
                int32_t sum;
                memcpy(&sum, &tile_data[sums][row][4 * lane], 4);
                for (int i = 0; i < 4; i++)
                    sum += tile_data[x][row][4 * word + i] * (int8_t)tile_data[w][word][4 * lane + i];
                memcpy(&tile_data[sums][row][4 * lane], &sum, 4);
            }
    return 0;
}
