// Runs the network on images: `example_cpp FILE`. FILE holds the bytes of any number of images, channels last.
//
//     c++ -std=c++17 -I. example.cpp model.so -Wl,-rpath,'$ORIGIN' -o example_cpp
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <vector>

#include "hawq_runtime.h"

int main(int count, char **arguments)
try {
    if (count < 2) {
        std::fprintf(stderr, "usage: %s FILE\n", arguments[0]);
        return 2;
    }
    std::ifstream file(arguments[1], std::ios::binary);
    const std::vector<std::uint8_t> images{std::istreambuf_iterator<char>(file), {}};
    hawq::Model model;
    const std::vector<std::int32_t> logits = model.run(images);
    const auto values = static_cast<std::ptrdiff_t>(hawq_output_values());
    for (auto row = logits.begin(); row != logits.end(); row += values) {
        const auto best = std::max_element(row, row + values);
        std::printf("class %td, logit %d\n", best - row, static_cast<int>(*best));
    }
    return 0;
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
