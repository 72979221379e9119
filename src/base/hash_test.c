#include "base/hash.h"

#include "base/testing.h"

/* SipHash-2-4 of the bytes 00, 00 01, 00 01 02, ... under the key 00..0f: row n hashes n bytes. The
 * designers' vectors, as little-endian words. */
static const uint64_t reference_64[64] = {
    UINT64_C(0x726fdb47dd0e0e31), UINT64_C(0x74f839c593dc67fd), UINT64_C(0x0d6c8009d9a94f5a),
    UINT64_C(0x85676696d7fb7e2d), UINT64_C(0xcf2794e0277187b7), UINT64_C(0x18765564cd99a68d),
    UINT64_C(0xcbc9466e58fee3ce), UINT64_C(0xab0200f58b01d137), UINT64_C(0x93f5f5799a932462),
    UINT64_C(0x9e0082df0ba9e4b0), UINT64_C(0x7a5dbbc594ddb9f3), UINT64_C(0xf4b32f46226bada7),
    UINT64_C(0x751e8fbc860ee5fb), UINT64_C(0x14ea5627c0843d90), UINT64_C(0xf723ca908e7af2ee),
    UINT64_C(0xa129ca6149be45e5), UINT64_C(0x3f2acc7f57c29bdb), UINT64_C(0x699ae9f52cbe4794),
    UINT64_C(0x4bc1b3f0968dd39c), UINT64_C(0xbb6dc91da77961bd), UINT64_C(0xbed65cf21aa2ee98),
    UINT64_C(0xd0f2cbb02e3b67c7), UINT64_C(0x93536795e3a33e88), UINT64_C(0xa80c038ccd5ccec8),
    UINT64_C(0xb8ad50c6f649af94), UINT64_C(0xbce192de8a85b8ea), UINT64_C(0x17d835b85bbb15f3),
    UINT64_C(0x2f2e6163076bcfad), UINT64_C(0xde4daaaca71dc9a5), UINT64_C(0xa6a2506687956571),
    UINT64_C(0xad87a3535c49ef28), UINT64_C(0x32d892fad841c342), UINT64_C(0x7127512f72f27cce),
    UINT64_C(0xa7f32346f95978e3), UINT64_C(0x12e0b01abb051238), UINT64_C(0x15e034d40fa197ae),
    UINT64_C(0x314dffbe0815a3b4), UINT64_C(0x027990f029623981), UINT64_C(0xcadcd4e59ef40c4d),
    UINT64_C(0x9abfd8766a33735c), UINT64_C(0x0e3ea96b5304a7d0), UINT64_C(0xad0c42d6fc585992),
    UINT64_C(0x187306c89bc215a9), UINT64_C(0xd4a60abcf3792b95), UINT64_C(0xf935451de4f21df2),
    UINT64_C(0xa9538f0419755787), UINT64_C(0xdb9acddff56ca510), UINT64_C(0xd06c98cd5c0975eb),
    UINT64_C(0xe612a3cb9ecba951), UINT64_C(0xc766e62cfcadaf96), UINT64_C(0xee64435a9752fe72),
    UINT64_C(0xa192d576b245165a), UINT64_C(0x0a8787bf8ecb74b2), UINT64_C(0x81b3e73d20b49b6f),
    UINT64_C(0x7fa8220ba3b2ecea), UINT64_C(0x245731c13ca42499), UINT64_C(0xb78dbfaf3a8d83bd),
    UINT64_C(0xea1ad565322a1a0b), UINT64_C(0x60e61c23a3795013), UINT64_C(0x6606d7e446282b93),
    UINT64_C(0x6ca4ecb15c5f91e1), UINT64_C(0x9f626da15c9625f3), UINT64_C(0xe51b38608ef25f57),
    UINT64_C(0x958a324ceb064572),
};
static const struct hash128 reference_128[64] = {
    {{UINT64_C(0xe6a825ba047f81a3), UINT64_C(0x930255c71472f66d)}},
    {{UINT64_C(0x44af996bd8c187da), UINT64_C(0x45fc229b11597634)}},
    {{UINT64_C(0xc75da4a48d227781), UINT64_C(0xe4ff0af6de8ba3fc)}},
    {{UINT64_C(0x4ea967520cb6709c), UINT64_C(0x51ed8529b0b6335f)}},
    {{UINT64_C(0xaf8f9c2dc16481f8), UINT64_C(0x7955cd7b7c6e0f7d)}},
    {{UINT64_C(0x886f778059876813), UINT64_C(0x27960e69077a5254)}},
    {{UINT64_C(0x1386208b33caee14), UINT64_C(0x5ea1d78f30a05e48)}},
    {{UINT64_C(0x53c1dbd8beebf1a1), UINT64_C(0x3982f01fa64ab8c0)}},
    {{UINT64_C(0x61f55862baa9623b), UINT64_C(0xb49714f364e2830f)}},
    {{UINT64_C(0xabbad90a06994426), UINT64_C(0xed716dbb028b7fc4)}},
    {{UINT64_C(0x56691478c30d1100), UINT64_C(0xbafbd0f3d34754c9)}},
    {{UINT64_C(0x77666b3868c55101), UINT64_C(0x18dce5816fdcb4a2)}},
    {{UINT64_C(0x58f35e9066b226d6), UINT64_C(0x25c13285f64d6382)}},
    {{UINT64_C(0x108bc0e947e26998), UINT64_C(0xf752b9c44f9329d0)}},
    {{UINT64_C(0x9cded766aceffc31), UINT64_C(0x024949e45f48c77e)}},
    {{UINT64_C(0x11a8b03399e99354), UINT64_C(0xd9c3cf970fec087e)}},
    {{UINT64_C(0xbb54b067caa4e26e), UINT64_C(0x77052385bf1533fd)}},
    {{UINT64_C(0x98b88d73e8063d47), UINT64_C(0x4077e47ac466c054)}},
    {{UINT64_C(0x8548bf23e4e526a4), UINT64_C(0x23f7aefe81a44d29)}},
    {{UINT64_C(0xb0fa65cf31770178), UINT64_C(0xb12e51528920d574)}},
    {{UINT64_C(0x7390223f83fc259e), UINT64_C(0xeb3938e8a544933e)}},
    {{UINT64_C(0x215a52be5a498e56), UINT64_C(0x121d073ecd14228a)}},
    {{UINT64_C(0x9a6bd15245b5294a), UINT64_C(0xae0aff8e52109c46)}},
    {{UINT64_C(0xe0f5a9d5dd84d1c9), UINT64_C(0x1c69bf9a9ae28ccf)}},
    {{UINT64_C(0xd850bd78ae79b42d), UINT64_C(0xad32618a178a2a88)}},
    {{UINT64_C(0x7b445e2d045fce8e), UINT64_C(0x6f8f8dcbeab95150)}},
    {{UINT64_C(0xe807c3b3b4530b9c), UINT64_C(0x661f147886e0ae7e)}},
    {{UINT64_C(0xe4eaa669af48f2ab), UINT64_C(0x94eb9e122febd3bf)}},
    {{UINT64_C(0x884b576816da6406), UINT64_C(0xf4ae587302f335b9)}},
    {{UINT64_C(0xe97d33bfc49d4baa), UINT64_C(0xb76a7c463cfdd40c)}},
    {{UINT64_C(0xde6baf1f477f5cea), UINT64_C(0x87226d68d4d71a2b)}},
    {{UINT64_C(0xfcfa233218b03929), UINT64_C(0x353dc4524fde2317)}},
    {{UINT64_C(0x3efcea5eca56397c), UINT64_C(0x68eb4665559d3e36)}},
    {{UINT64_C(0x321cf0467107c677), UINT64_C(0xcfffa94e5f9db6b6)}},
    {{UINT64_C(0xdf7e84b86c98a637), UINT64_C(0xde549b30f1f02509)}},
    {{UINT64_C(0xf9a8a99de6f005a7), UINT64_C(0xc88c3c922e1a2407)}},
    {{UINT64_C(0x4648c4291f7dc43d), UINT64_C(0x11674f90ed769e1e)}},
    {{UINT64_C(0x1a0efce601bf620d), UINT64_C(0x2b69d3c551473c0d)}},
    {{UINT64_C(0x9e667cca8b46038c), UINT64_C(0xb5e7be4b085efde4)}},
    {{UINT64_C(0x9c2caf3bb95b8a52), UINT64_C(0xd92bd2d0e5cc7344)}},
    {{UINT64_C(0xad5dc9951e306adf), UINT64_C(0xd83b91c6c80cae97)}},
    {{UINT64_C(0x397f852c90891180), UINT64_C(0xdbb6705e289135e7)}},
    {{UINT64_C(0xbb31c2c96a3417e6), UINT64_C(0x5b0ccacc34ae5036)}},
    {{UINT64_C(0xaa21b7ef3734d927), UINT64_C(0x89df5aecdc211840)}},
    {{UINT64_C(0x785e9ced9d7d2389), UINT64_C(0x4273cc66b1c9b1d8)}},
    {{UINT64_C(0x657d5ebf91806d4a), UINT64_C(0x4cb150a294fa8911)}},
    {{UINT64_C(0x89aee75560f9330e), UINT64_C(0x022949cf3d0efc3f)}},
    {{UINT64_C(0xd1190b722b431ce6), UINT64_C(0x1b1563dc4bd8c88e)}},
    {{UINT64_C(0xcf82f749f5aee5f7), UINT64_C(0x169b2608a6559037)}},
    {{UINT64_C(0x4fa5b7d00f038d43), UINT64_C(0x03641a20adf237a8)}},
    {{UINT64_C(0xe304bf4feed390a5), UINT64_C(0x3f4286f2270d7e24)}},
    {{UINT64_C(0xc493fe72a1c1e25f), UINT64_C(0x38f5f9ae7cd35cb1)}},
    {{UINT64_C(0x6eb306bd5c32972c), UINT64_C(0x7c013a8bd03d13b2)}},
    {{UINT64_C(0x94ca6b7a2214c892), UINT64_C(0x9ed32a009f65f09f)}},
    {{UINT64_C(0x8c32d80b1150e8dc), UINT64_C(0x871d91d64108d5fb)}},
    {{UINT64_C(0x1279dac78449f167), UINT64_C(0xda832592b52be348)}},
    {{UINT64_C(0xe94ed572cff23819), UINT64_C(0x362a1da96f16947e)}},
    {{UINT64_C(0xfe49ed46961e4874), UINT64_C(0x8e6904163024620f)}},
    {{UINT64_C(0xd8d6a998dea5fc57), UINT64_C(0x1d8a3d58d0386400)}},
    {{UINT64_C(0xbe1cdcef1cdeec9f), UINT64_C(0x595357d9743676d4)}},
    {{UINT64_C(0x53f128eb000c04e3), UINT64_C(0x40e772d8cb73ca66)}},
    {{UINT64_C(0xfe1d836a9a009776), UINT64_C(0x7a0f6793591ca9cc)}},
    {{UINT64_C(0xa067f52123545358), UINT64_C(0xbd5947f0a447d505)}},
    {{UINT64_C(0x4a83502f77d15051), UINT64_C(0x7cbd3f979a063e50)}},
};

static const struct hash_key reference_key = {
    {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)}
};

static void siphash_gives_the_reference_vectors(void **state)
{
    (void)state;
    uint8_t input[64];
    for (unsigned length = 0; length < 64; length++) {
        input[length] = (uint8_t)length;
        const struct bytes bytes = {input, length};
        assert_true(hash_64(reference_key, bytes) == reference_64[length]);
        assert_true(hash_128_equal(hash_128(reference_key, bytes), reference_128[length]));
    }
    assert_true(hash_64(reference_key, BYTES_NONE) == reference_64[0]);
}

static void equality_looks_at_both_words(void **state)
{
    (void)state;
    const struct hash128 hash = {
        {1, 2}
    };
    assert_true(hash_128_equal(hash, (struct hash128){
                                         {1, 2}
    }));
    assert_false(hash_128_equal(hash, (struct hash128){
                                          {1, 3}
    }));
    assert_false(hash_128_equal(hash, (struct hash128){
                                          {0, 2}
    }));
}

static int compare_words(const void *left, const void *right)
{
    const uint64_t one = *(const uint64_t *)left;
    const uint64_t other = *(const uint64_t *)right;
    return (one > other) - (one < other);
}

static void mixing_small_numbers_never_collides_and_fills_the_low_bits(void **state)
{
    (void)state;
    static uint64_t mixed[256 * 256];
    static unsigned per_low_byte[256];
    for (uint64_t left = 0; left < 256; left++) {
        for (uint64_t right = 0; right < 256; right++) {
            const uint64_t hash = hash_mix(left, right << 12);
            mixed[left * 256 + right] = hash;
            per_low_byte[hash & 0xff]++;
        }
    }
    qsort(mixed, COUNT_OF(mixed), sizeof mixed[0], compare_words);
    for (size_t row = 1; row < COUNT_OF(mixed); row++)
        assert_true(mixed[row - 1] != mixed[row]);
    for (size_t row = 0; row < COUNT_OF(per_low_byte); row++)
        assert_in_range(per_low_byte[row], 128, 512); /* 256 expected, deviation 16 */
    assert_true(hash_mix(1, 2) != hash_mix(2, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_gives_the_reference_vectors),
        cmocka_unit_test(equality_looks_at_both_words),
        cmocka_unit_test(mixing_small_numbers_never_collides_and_fills_the_low_bits),
    };
    return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
